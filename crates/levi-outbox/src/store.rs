use levi_types::Wall;

use crate::error::OutboxError;
use crate::model::{
    Change, Due, DueTasks, Enqueued, LaneId, ListedRow, ListedTask, NewRow, RowHead, RowId, RowKey, RowState,
    Totals,
};

/// How far a question about due lanes goes.
#[derive(Clone, Copy, Debug)]
pub struct DueQuery<'a> {
    /// The present.
    pub now: Wall,
    /// A lane due later than this is due now: the clock must have jumped backwards since it was written.
    pub horizon: Wall,
    /// Lanes the asker already works on; they are left out.
    pub except: &'a [LaneId],
    /// At most so many lanes.
    pub max_lanes: usize,
    /// At most so many heads for each lane.
    pub heads_per_lane: usize,
    /// Stop adding lanes once so many heads are collected in all.
    pub max_heads: usize,
}

/// Takes one row at a time: its key, the daemon's name for the message, its payload.
pub type PayloadSink<'a> = &'a mut dyn FnMut(RowKey, &str, &[u8]);

/// Where rows wait until the server has them.
///
/// One writer. Every read shows what was last committed. `commit` is all or nothing and durable once it
/// returns; after an error the store is as it was before the call, and usable.
///
/// Every implementation passes the suite in `levi_outbox::conformance` (feature `conformance`).
pub trait OutboxStore: Send {
    /// Applies `changes` in order, then stores `rows`, in one transaction.
    ///
    /// The answers are in the order of `rows`. A row that is refused (place taken, full) does not stop the others.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was changed.
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError>;

    /// Lanes that are due, longest waiting first, with their first rows.
    ///
    /// Costs O(log n) in the number of pending rows, whatever share of them is deferred. Lanes held by a
    /// pending task are not due.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError>;

    /// The rows of `lane` after `after` (all, for `None`), ordered by sequence number, at most `limit`.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError>;

    /// Hands each row's message id and payload to `sink`, in the order asked for. A row that is gone or has
    /// another version is passed over: the sink is not called for it. Parked rows have payloads too, for those
    /// who export them.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError>;

    /// The full rows of `lane` that are wrapped at rest, ordered by sequence number, at most `limit`, with their keys.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn at_rest(&self, lane: LaneId, limit: usize) -> Result<Vec<(RowKey, NewRow)>, OutboxError>;

    /// Tasks that are due. `horizon` as in [`DueQuery`].
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn due_tasks(&self, now: Wall, horizon: Wall, limit: usize) -> Result<DueTasks, OutboxError>;

    /// Where one row stands.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError>;

    /// What there is, at a cost that does not grow with it.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn totals(&self) -> Result<Totals, OutboxError>;

    /// What there was when this store last committed or read the totals, where that is at hand without a look at the disk.
    /// What others wrote since is not in it.
    fn totals_as_committed(&self) -> Option<Totals> {
        None
    }

    /// Rows by id, pending and parked, after `after`, at most `limit`: for people and tools.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError>;

    /// All tasks by name, parked ones included, at most `limit`: for people and tools.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn tasks(&self, limit: usize) -> Result<Vec<ListedTask>, OutboxError>;
}
