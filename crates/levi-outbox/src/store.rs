use std::time::Duration;

use levi_types::{SessionId, UserId, Wall};

use crate::error::OutboxError;
use crate::model::{
    Change, Due, Enqueued, GivenBack, Held, LaneId, LaneKey, ListedRow, LoneFailure, NewRow, ParkedParent,
    PendingControlRow, Reason, RowHead, RowId, RowKey, RowState, Space, Totals, WaitingLane,
};

/// Which lanes are asked for, and how many rows of each.
#[derive(Clone, Copy, Debug)]
pub struct DueQuery<'a> {
    /// Who is signed in: lanes of other users are not due. `None`: nobody ever was, as in an outbox
    /// of which no commit has a [`Change::SignedIn`].
    pub user: Option<&'a UserId>,
    /// The present.
    pub now: Wall,
    /// A lane due later than this is due now, because the clock must have jumped backwards since
    /// the time was written.
    pub horizon: Wall,
    /// Lanes that the caller already works on; they are left out.
    pub except: &'a [LaneId],
    /// The greatest number of lanes.
    pub max_lanes: usize,
    /// The greatest number of heads (first rows) of each lane.
    pub heads_per_lane: usize,
    /// No more lanes are added once there are this many heads in all.
    pub max_heads: usize,
}

/// Takes one row at a time: its key, its message id, its payload.
pub type PayloadSink<'a> = &'a mut dyn FnMut(RowKey, &str, &[u8]);

/// Where rows wait until the server has them.
///
/// There is one writer. Every read shows what was last committed. `commit` is all or nothing, and
/// durable once it returns; after an error the store is as it was before the call, and usable.
///
/// A lane is empty when it has neither pending nor parked rows. A lane whose parent is not empty is
/// blocked, and a blocked lane is never due: a session waits for its repository, and its secret and
/// its messages wait for the session.
///
/// A lane belongs to the user for whom its rows were recorded, and is due for nobody else. A row of
/// another user for the same lane is refused: on the server too, a session has one user. A lane of
/// nobody becomes that of the first user who adds a row to it or signs in.
///
/// Every implementation passes the suite in `levi_outbox::conformance` (feature `conformance`).
pub trait OutboxStore: Send {
    /// Applies `changes` in order, then stores `rows`, in one transaction.
    ///
    /// The answers are in the order of `rows`. A row that is refused (conflict, full) does not stop
    /// the others. Control rows are never refused because the outbox is full: they are small, and
    /// the messages that fill it may wait for them. A message written again replaces its payload, pending or parked, and the lane
    /// waits as long as it did. A control row written again does so too, and its lane is due at the
    /// new row's `enqueued_at`, its attempts reset.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was changed.
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError>;

    /// Lanes of the query's user that are due, longest waiting first, with their first rows.
    ///
    /// Costs O(log n) in the number of pending rows, whatever share of them is deferred or blocked.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError>;

    /// The pending rows of `lane` after the sequence number `after` (all, for `None`), ordered by
    /// sequence number, at most `limit`. A blocked lane shows none.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError>;

    /// Passes each row's message id and payload to `sink`, in the order asked for. A row that is
    /// gone or has another version is skipped. Parked rows have payloads too, so that they can be
    /// exported.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError>;

    /// The pending rows of `lane` that are encrypted under the database key, payloads included,
    /// ordered by sequence number, at most `limit`.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError>;

    /// The state of one row.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError>;

    /// Whether the server had the session's row once: it acknowledged the row, or a message of the
    /// session, since the outbox was made or since a row that [restores](NewRow::restores_session) the
    /// session was stored. A session that was there once and is missing now was deleted elsewhere;
    /// another was not sent yet.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError>;

    /// The parked rows of repositories and sessions, at most `limit`.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn parked_parents(&self, limit: usize) -> Result<Vec<ParkedParent>, OutboxError>;

    /// The pending control row of `lane`, whether or not the lane is blocked. `None` if there is none, and for a lane of
    /// messages.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn pending_control_row(&self, lane: &LaneKey) -> Result<Option<PendingControlRow>, OutboxError>;

    /// Why the control row of `lane` is parked; `None` if it is not.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn parked_reason(&self, lane: &LaneKey) -> Result<Option<Reason>, OutboxError>;

    /// Random bytes that tell this outbox from every other, for as long as its rows live. `None`: the
    /// store has none, and its owner makes some up at each start.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn writer(&self) -> Result<Option<[u8; 16]>, OutboxError> {
        Ok(None)
    }

    /// The highest sequence number of the session's messages, pending and parked.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, OutboxError>;

    /// The counts, at a cost that does not grow with the backlog.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn totals(&self) -> Result<Totals, OutboxError>;

    /// The counts as of this store's last commit or [`totals`](Self::totals), if they are known
    /// without reading the disk. Writes of other processes since then are not in them.
    fn totals_as_committed(&self) -> Option<Totals> {
        None
    }

    /// Who signed in last ([`Change::SignedIn`]); `None` if nobody ever did.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn user(&self) -> Result<Option<UserId>, OutboxError>;

    /// Until when requests wait, as the last [`Change::Pause`] says. A store that does not keep it returns `None`; after
    /// a restart the server then asks again.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        Ok(None)
    }

    /// What the last [`Change::NoteLoneFailure`] of each lane says, if its row is still pending in that version. A store
    /// that does not keep it returns none; after a restart such rows are then looked for again.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn lone_failures(&self) -> Result<Vec<LoneFailure>, OutboxError> {
        Ok(Vec::new())
    }

    /// What the last [`Change::NoteParkedOnProbes`] says. A store that does not keep it returns 0; after a restart the
    /// next such row is then parked sooner.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn parked_on_probes(&self) -> Result<u32, OutboxError>;

    /// What waits for users other than the one who signed in last, ordered by user.
    ///
    /// Costs a look at every lane, and at the rows of those that are held.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn held(&self) -> Result<Vec<Held>, OutboxError>;

    /// Payload bytes, pending and parked, of users other than the one who signed in last.
    ///
    /// Costs a look at the rows of the one who did, unless the store knows the sum.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn held_bytes(&self) -> Result<u64, OutboxError> {
        Ok(0)
    }

    /// At most `limit` lanes with pending rows, the oldest first, and why they wait. A store that does not say returns
    /// none.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn waiting(&self, _limit: usize) -> Result<Vec<WaitingLane>, OutboxError> {
        Ok(Vec::new())
    }

    /// Rows of every kind by id, pending and parked, after `after`, at most `limit`: for people and
    /// tools.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError>;

    /// What the store takes of the disk; `None` if it has no file of its own.
    ///
    /// # Errors
    /// [`OutboxError`] when the store cannot be read.
    fn space(&self) -> Result<Option<Space>, OutboxError> {
        Ok(None)
    }

    /// Gives some free space back, if there is any, for about as long as `step`: first what is free
    /// in the file, then the log. `None` if it has no file of its own.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was lost.
    fn give_back(&mut self, _step: Duration) -> Result<Option<GivenBack>, OutboxError> {
        Ok(None)
    }
}
