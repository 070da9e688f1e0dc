//! Changes to rows that are in the outbox.

use levi_types::{SessionId, UserId, Wall};

use super::{LaneId, LaneKey, LoneFailure, NewRow, Reason, RowId, RowKey, SyncedText};

/// A change to the rows of an outbox. The changes of one commit are applied in order, all or none.
///
/// A change that names a version which is gone does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `user` is signed in from now on: a row that names no user belongs to this user, and
    /// `RetryNow` applies to this user's lanes. The first user ever also gets the rows that were
    /// written before; later ones do not.
    SignedIn {
        /// The user.
        user: UserId,
    },
    /// The server has these rows of one lane: remove those whose version still matches, reset the
    /// lane's attempts and reason, and move the lane behind the others that are due.
    Acknowledge {
        /// The lane of all the rows.
        lane: LaneId,
        /// The rows that were sent.
        rows: Vec<RowKey>,
        /// When the answer came. The rest of the lane is due from then on.
        at: Wall,
    },
    /// The server has taken these texts of one session: a row with one of them is not stored again
    /// while no other row has its position. The outbox remembers the newest million or so; no
    /// promise depends on one that is forgotten.
    NoteSynced {
        /// The user for whom they were sent; `None`: the user who signed in last.
        user: Option<UserId>,
        /// Their session.
        session: SessionId,
        /// The texts. Of two at one position the later one counts.
        texts: Vec<SyncedText>,
    },
    /// The lane waits until `due_at`.
    Defer {
        /// The lane that waits.
        lane: LaneId,
        /// When it is due again.
        due_at: Wall,
        /// Failed attempts, this one included.
        attempts: u32,
        /// Why it waits.
        reason: Reason,
    },
    /// A lane failed although other requests were accepted. This replaces the lane's earlier note,
    /// and is forgotten when the row is parked or removed.
    NoteLoneFailure(LoneFailure),
    /// So many rows were parked because a request without rows got through and they did not, since messages got
    /// through. This replaces the earlier number.
    NoteParkedOnProbes {
        /// The number of rows.
        rows: u32,
    },
    /// Take a row out of its lane and keep it with the reason, if its version still matches. The
    /// lane continues without it, with its attempts reset, due at `at`.
    Park {
        /// The row's lane.
        lane: LaneId,
        /// The row and the version that was refused.
        row: RowKey,
        /// Why the row is parked.
        reason: Reason,
        /// When it was refused.
        at: Wall,
    },
    /// Exchange a payload encrypted under the database key for the one encrypted under its
    /// session's key, if its version still matches.
    Reseal {
        /// The row and the version that was read.
        row: RowKey,
        /// The payload, encrypted under the session's key.
        payload: Vec<u8>,
    },
    /// The server asked for no further request before `until`. The wait applies to every lane,
    /// including those that are written later, so it is not in their due times. It replaces the
    /// stored wait, and only time ends it: not even [`RetryNow`](Self::RetryNow) does.
    Pause {
        /// When requests may be sent again.
        until: Wall,
    },
    /// Make every deferred lane of the signed-in user due at `at`; attempts stay as they are. For
    /// "the network is back".
    RetryNow {
        /// When the lanes are due.
        at: Wall,
    },
    /// Make one lane due at `at`, if it has rows that are due later. For "the key is here".
    RetryLane {
        /// The lane's name.
        lane: LaneKey,
        /// When the lane is due.
        at: Wall,
    },
    /// Put a parked row back into its lane, its attempts reset, due at `at`.
    Unpark {
        /// The parked row.
        row: RowId,
        /// When the lane is due.
        at: Wall,
    },
    /// Remove a row, pending or parked, for good. Does nothing to a row that other rows wait for,
    /// because they could never be sent.
    Discard {
        /// The row to remove.
        row: RowId,
    },
    /// Write this control row, even beyond `max_pending_bytes`, unless the lane has one that names
    /// the same parent: then that one stays as it is, and is unparked if it is parked. If the new
    /// row names no parent, any existing row is kept.
    Ensure(NewRow),
}
