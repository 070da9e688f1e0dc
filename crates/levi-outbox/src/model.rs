//! What an outbox holds: rows in lanes, parked rows, and tasks.

mod tasks;

use std::fmt;
use std::path::PathBuf;

use levi_types::{MessageId, SessionId, Wall};

pub use self::tasks::{DueTask, DueTasks, ListedTask, NewTask};

/// One row on disk. Ids of committed rows are never used again, not even after a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// One session's queue on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i64);

/// A row as it was when it was read. A replaced row keeps its id and gets a higher version, so that an
/// acknowledgement of the older payload cannot remove the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// Which row.
    pub id: RowId,
    /// Which payload of it.
    pub version: u32,
}

/// How a payload lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protection {
    /// Ready to send: sealed under its session's key.
    Sealed,
    /// Wrapped under this device's database key, until the session's key is known.
    AtRest,
}

/// A row to be written. `Debug` shows the payload's length, never the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The session, and so the lane.
    pub session_id: SessionId,
    /// The row's place in its lane.
    pub sequence_number: i64,
    /// The daemon's own name for it.
    pub message_id: MessageId,
    /// Opaque to the outbox.
    pub payload: Vec<u8>,
    /// How `payload` is protected.
    pub protection: Protection,
    /// When the daemon handed it in.
    pub enqueued_at: Wall,
}

impl fmt::Debug for NewRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRow")
            .field("session_id", &self.session_id)
            .field("sequence_number", &self.sequence_number)
            .field("message_id", &self.message_id)
            .field("payload_bytes", &self.payload.len())
            .field("protection", &self.protection)
            .field("enqueued_at", &self.enqueued_at)
            .finish()
    }
}

/// What became of a [`NewRow`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is on disk under this key; `replaced` says whether it took the place of an older payload of the
    /// same message (pending or parked).
    Stored {
        /// Where it is.
        key: RowKey,
        /// Whether an older payload of the same message gave way.
        replaced: bool,
    },
    /// Another message holds this place in the session; nothing was changed.
    PlaceTaken {
        /// The message that holds it.
        holder: MessageId,
    },
    /// It would have passed `max_pending_bytes`; nothing was changed.
    Full {
        /// Bytes pending already.
        pending_bytes: u64,
        /// The bound.
        limit: u64,
    },
}

/// A row without its payload: what the batcher sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHead {
    /// Which row, which payload.
    pub key: RowKey,
    /// Its place in the lane.
    pub sequence_number: i64,
    /// Length of the payload.
    pub bytes: u32,
    /// How the payload is protected.
    pub protection: Protection,
    /// When it was handed in.
    pub enqueued_at: Wall,
}

/// A lane that has rows and whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueLane {
    /// Which lane.
    pub lane: LaneId,
    /// The session it belongs to.
    pub session_id: SessionId,
    /// Failed attempts so far at the lane's first row.
    pub attempts: u32,
    /// The first rows, ordered by sequence number.
    pub heads: Vec<RowHead>,
    /// Whether more rows wait behind them.
    pub more: bool,
}

/// The answer to "what is due".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Lanes due, the longest waiting first.
    pub lanes: Vec<DueLane>,
    /// Whether further lanes are due that did not fit the limits asked for.
    pub more: bool,
    /// When the next lane that is not due yet becomes so.
    pub next_due: Option<Wall>,
}

/// Why a lane waits, a row is parked, or a task is deferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// A short code: an SQLSTATE, a PostgREST code, an HTTP status, or one of Levi's own words.
    pub code: String,
    /// One line for people. No plaintext, no key, no token.
    pub detail: String,
}

/// A change to what is pending. Changes of one commit are applied in order, all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Supabase has these rows of one lane: remove those whose version still matches, forget the lane's
    /// attempts and reason, and move it behind the other lanes that are due.
    Acknowledge {
        /// The lane of all the rows.
        lane: LaneId,
        /// The rows.
        rows: Vec<RowKey>,
        /// When the answer came; the lane's new place in the order.
        at: Wall,
    },
    /// The lane waits until `due_at`.
    Defer {
        /// Which lane.
        lane: LaneId,
        /// When it is due again.
        due_at: Wall,
        /// Failed attempts, this one included.
        attempts: u32,
        /// Why.
        reason: Reason,
    },
    /// Take a row out of its lane and keep it aside with the reason, if its version still matches. The lane
    /// goes on without it, its attempts forgotten, due at once.
    Park {
        /// The row's lane.
        lane: LaneId,
        /// The row.
        row: RowKey,
        /// Why.
        reason: Reason,
        /// When.
        at: Wall,
    },
    /// Exchange a payload wrapped at rest for its sealed form, if its version still matches.
    Reseal {
        /// The row.
        row: RowKey,
        /// The sealed payload.
        payload: Vec<u8>,
    },
    /// Make every deferred lane and task due now; attempts stay as they are. For "the network is back".
    RetryNow {
        /// The time to write as due.
        at: Wall,
    },
    /// Make the lane of one session due now, if it has rows. For "the key is here" and "the parent is there".
    RetrySession {
        /// Which session.
        session_id: SessionId,
        /// The time to write as due.
        at: Wall,
    },
    /// Put a parked row back in its lane, due now, its attempts forgotten.
    Unpark {
        /// The parked row.
        row: RowId,
        /// The time to write as due.
        at: Wall,
    },
    /// Remove a row, pending or parked, for good.
    Discard {
        /// The row.
        row: RowId,
    },
    /// Record a task, or replace the one under the same name (raising its version, due now).
    PutTask(NewTask),
    /// Record a task unless one of its name and parent is there, which knows better what is wanted; if that one is
    /// parked, it is tried again as it was recorded.
    EnsureTask(NewTask),
    /// The task is done: remove it if its version still matches.
    FinishTask {
        /// The task's name.
        name: String,
        /// The version that was done.
        version: u32,
    },
    /// The task failed for now.
    DeferTask {
        /// The task's name.
        name: String,
        /// The version that failed; a newer one is left alone.
        version: u32,
        /// When to try again.
        due_at: Wall,
        /// Failed attempts, this one included.
        attempts: u32,
        /// Why.
        reason: Reason,
    },
    /// The task cannot succeed by itself: keep it, never due until it is put again or retried by hand.
    ParkTask {
        /// The task's name.
        name: String,
        /// The version that failed; a newer one is left alone.
        version: u32,
        /// Why.
        reason: Reason,
    },
    /// Try a parked task again: due now, its attempts forgotten.
    UnparkTask {
        /// The task's name.
        name: String,
        /// The time to write as due.
        at: Wall,
    },
    /// Remove a parked task for good. What waited for it is due. A pending one stays: it may be under way.
    DiscardTask {
        /// The task's name.
        name: String,
    },
}

/// Counts that cost the same whatever the backlog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows waiting to be sent.
    pub pending_rows: u64,
    /// Their payload bytes.
    pub pending_bytes: u64,
    /// Rows set aside.
    pub parked_rows: u64,
    /// Payload bytes of those.
    pub parked_bytes: u64,
    /// Lanes with rows waiting.
    pub lanes: u64,
    /// Tasks waiting, parked ones included.
    pub tasks: u64,
    /// When the waiting row with the lowest id was handed in.
    pub oldest: Option<Wall>,
}

/// Where one row stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Not there: acknowledged or discarded (or never stored).
    Gone,
    /// Waiting, with the version it has now.
    Pending(u32),
    /// Set aside, and why.
    Parked(Reason),
}

/// A row as `levi outbox list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// Which row.
    pub id: RowId,
    /// Which payload of it, as [`RowKey`] has it.
    pub version: u32,
    /// Its session.
    pub session_id: SessionId,
    /// Its place there.
    pub sequence_number: i64,
    /// The daemon's own name for it.
    pub message_id: MessageId,
    /// Length of the payload.
    pub bytes: u32,
    /// How it lies on disk.
    pub protection: Protection,
    /// When it was handed in.
    pub enqueued_at: Wall,
    /// Set aside rather than waiting.
    pub parked: bool,
    /// For a waiting row its lane's attempts; for a parked one zero.
    pub attempts: u32,
    /// For a waiting row when its lane is due.
    pub due_at: Option<Wall>,
    /// Why it waits or is set aside, if known.
    pub reason: Option<Reason>,
}

/// What became of a damaged outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// Where the damaged file is now, unchanged; what SQLite kept beside it is beside it still.
    pub set_aside: PathBuf,
    /// Waiting rows that are in the fresh outbox.
    pub rows: u64,
    /// Rows set aside that are in it.
    pub parked: u64,
    /// Tasks that are in it.
    pub tasks: u64,
    /// Rows of both kinds that could not be read; `None` where nothing says how many there were.
    pub lost: Option<u64>,
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set_aside, rows, parked, tasks, lost } = self;
        write!(
            f,
            "the outbox was damaged: {rows} waiting and {parked} parked messages and {tasks} tasks were recovered, "
        )?;
        match lost {
            Some(lost) => write!(f, "{lost} messages were lost")?,
            None => write!(f, "how many were lost cannot be told")?,
        }
        write!(f, "; the damaged file is {}", set_aside.display())
    }
}
