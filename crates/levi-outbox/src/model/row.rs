//! Rows, from the one that is written to the one that is listed.

use std::fmt;

use levi_types::{MessageId, RepositoryId, SessionId, UserId, Wall};

use super::{LaneKey, Overwrite, Reason, RowKind, TextDigests};

/// The id of a row on disk. An id is never used again, not even after the row was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub i64);

/// One version of a row. A replaced row keeps its id and gets a higher version, so that an
/// acknowledgement of the older payload cannot remove the newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The row.
    pub id: RowId,
    /// The version of its payload, from 1.
    pub version: u32,
}

/// The key under which a payload is encrypted on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encryption {
    /// The session's key: the payload is ready to send.
    SessionKey,
    /// This device's database key, until the session's key is known.
    DatabaseKey,
    /// None: the payload of a control row holds ids; the caller seals what is secret in it.
    None,
}

/// A row to be written. `Debug` shows the payload's length, never the payload.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRow {
    /// The user for whom the row is recorded; `None`: the user who signed in last or, if nobody
    /// has, the first who will. The row is due for nobody else.
    pub user: Option<UserId>,
    /// The queue that the row joins.
    pub lane: LaneKey,
    /// The repository whose row must be sent first. Only a session's row names one: the parents of
    /// the other lanes follow from their keys ([`LaneKey::parent`]).
    pub parent: Option<LaneKey>,
    /// The message's position in its lane. The only position in a lane of control rows is 0,
    /// whatever this says.
    pub sequence_number: i64,
    /// The daemon's own name for a message; the name of its kind for a control row.
    pub message_id: MessageId,
    /// Opaque to the outbox.
    pub payload: Vec<u8>,
    /// The key that encrypts `payload`.
    pub encryption: Encryption,
    /// When the caller enqueued it.
    pub enqueued_at: Wall,
    /// Which text a message may replace on the server. Ignored in a row of another kind.
    pub overwrite: Overwrite,
    /// Whether this row of a session writes the session to the server anew after it was deleted
    /// elsewhere. When the outbox stores the row, it forgets that the server once had the session;
    /// it does not if it refuses the row. Ignored in a row of another kind.
    pub restores_session: bool,
    /// The digests that tell whether the server already has a message's text. Not stored with the
    /// row.
    pub texts: TextDigests,
}

impl NewRow {
    /// A message of `session_id`.
    pub fn message(
        session_id: SessionId,
        sequence_number: i64,
        message_id: MessageId,
        payload: Vec<u8>,
        encryption: Encryption,
        enqueued_at: Wall,
    ) -> Self {
        Self {
            user: None,
            lane: LaneKey::Messages(session_id),
            parent: None,
            sequence_number,
            message_id,
            payload,
            encryption,
            enqueued_at,
            overwrite: Overwrite::OwnOnly,
            restores_session: false,
            texts: TextDigests::default(),
        }
    }

    /// The control row of `lane`, which is not one of messages. `parent` is the repository of a
    /// session's row, and `None` for the others.
    pub fn control(lane: LaneKey, parent: Option<LaneKey>, payload: Vec<u8>, enqueued_at: Wall) -> Self {
        Self {
            user: None,
            sequence_number: 0,
            message_id: lane.kind().name().into(),
            lane,
            parent,
            payload,
            encryption: Encryption::None,
            enqueued_at,
            overwrite: Overwrite::OwnOnly,
            restores_session: false,
            texts: TextDigests::default(),
        }
    }

    /// The same row, recorded for `user`.
    #[must_use]
    pub fn for_user(mut self, user: Option<UserId>) -> Self {
        self.user = user;
        self
    }

    /// The same row, which writes its session to the server anew.
    #[must_use]
    pub fn restoring(mut self) -> Self {
        self.restores_session = true;
        self
    }

    /// The session that is to be written to the server anew.
    pub(crate) const fn restored_session(&self) -> Option<&SessionId> {
        match &self.lane {
            LaneKey::Session(session) if self.restores_session => Some(session),
            _ => None,
        }
    }

    /// The kind of the row, which is its lane's.
    pub const fn kind(&self) -> RowKind {
        self.lane.kind()
    }

    /// The position in the lane: 0 for every control row, so that there is at most one.
    pub(crate) fn position(&self) -> i64 {
        if self.kind().is_control() { 0 } else { self.sequence_number }
    }

    /// The repository that a session's row names as its parent.
    pub(crate) fn repository(&self) -> Option<&RepositoryId> {
        match (&self.lane, &self.parent) {
            (LaneKey::Session(_), Some(LaneKey::Repository(repository))) => Some(repository),
            _ => None,
        }
    }
}

impl fmt::Debug for NewRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRow")
            .field("user", &self.user)
            .field("lane", &self.lane)
            .field("parent", &self.parent)
            .field("sequence_number", &self.sequence_number)
            .field("message_id", &self.message_id)
            .field("payload_bytes", &self.payload.len())
            .field("encryption", &self.encryption)
            .field("enqueued_at", &self.enqueued_at)
            .field("overwrite", &self.overwrite)
            .field("restores_session", &self.restores_session)
            .finish()
    }
}

/// The outcome for one [`NewRow`] of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// The row is on disk.
    Stored {
        /// The row and its version.
        key: RowKey,
        /// Whether it replaced an older payload of the same message, pending or parked.
        replaced: bool,
    },
    /// The server has exactly this text of the message, and no row waits at its position. Nothing
    /// was changed.
    AlreadySynced,
    /// Another message of the session has this sequence number; nothing was changed.
    SequenceConflict {
        /// The message that has it.
        holder: MessageId,
    },
    /// The lane has rows of another user; nothing was changed.
    OtherUser {
        /// For whom they wait; `None`: for the first user who will sign in.
        user_id: Option<UserId>,
    },
    /// The row would exceed `max_pending_bytes` ([`Totals::would_exceed`](super::Totals::would_exceed)); nothing was changed.
    Full {
        /// Payload bytes of the signed-in user, pending and parked.
        pending_bytes: u64,
        /// Payload bytes of other users.
        held_bytes: u64,
        /// The bound.
        limit: u64,
    },
}

/// A pending row without its payload: what the batcher sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHead {
    /// The row and its version.
    pub key: RowKey,
    /// The row's position in its lane.
    pub sequence_number: i64,
    /// Length of the payload.
    pub bytes: u32,
    /// The key that encrypts the payload.
    pub encryption: Encryption,
    /// When the caller enqueued it.
    pub enqueued_at: Wall,
    /// What a message may replace on the server.
    pub overwrite: Overwrite,
}

/// The state of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowState {
    /// Acknowledged, or never stored.
    Gone,
    /// Removed by an operator before the server acknowledged it. Remembered until the outbox is
    /// opened again.
    Discarded,
    /// Waiting, with its present version.
    Pending(u32),
    /// Pending, and an ancestor is parked for this reason. Nothing happens until the ancestor is
    /// retried, written again or discarded.
    ParentParked(Reason),
    /// Parked, with the reason.
    Parked(Reason),
}

/// A row as `levi outbox list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// The row.
    pub id: RowId,
    /// The version of its payload, from 1.
    pub version: u32,
    /// What the row is about.
    pub kind: RowKind,
    /// The queue that the row is in.
    pub lane: LaneKey,
    /// For whom the row was recorded; `None`: for the first user who will sign in.
    pub user_id: Option<UserId>,
    /// Whether another user is signed in: nothing happens to the row until its own user signs in
    /// again.
    pub held: bool,
    /// The row's position in its lane; 0 for a control row.
    pub sequence_number: i64,
    /// The daemon's own name for a message; the name of its kind for a control row.
    pub message_id: MessageId,
    /// Length of the payload.
    pub bytes: u32,
    /// The key that encrypts the payload.
    pub encryption: Encryption,
    /// When the caller enqueued it.
    pub enqueued_at: Wall,
    /// Whether the row is parked.
    pub parked: bool,
    /// The lane's failed attempts so far; 0 for a parked row.
    pub attempts: u32,
    /// When the lane is due; `None` for a row that is parked, blocked or held.
    pub due_at: Option<Wall>,
    /// The lane that must be empty before this one is due.
    pub blocked_by: Option<LaneKey>,
    /// Whether an ancestor of a pending row is parked: nothing happens until that one is retried,
    /// written again or discarded.
    pub parent_is_parked: bool,
    /// Why the row is parked or waits, if known. For a blocked row this is the reason of its
    /// nearest ancestor that is parked or not itself blocked, because an error of its own explains
    /// nothing while it is blocked.
    pub reason: Option<Reason>,
}
