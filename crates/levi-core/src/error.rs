use std::sync::Arc;

use levi_crypto::SealError;
use levi_outbox::{LaneKey, OutboxError, Reason};
use levi_types::{InvalidMessage, MessageId, SessionId, UserId};

/// Why a row was not enqueued. Nothing was written; the caller still has the message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The message itself is invalid.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// Too many bytes are on their way to the disk.
    #[error(
        "the queue is full ({limit} bytes); wait a moment, or use enqueue_durable, which waits by itself"
    )]
    QueueFull {
        /// `max_queued_bytes`.
        limit: usize,
    },
    /// Too many bytes wait on disk for the server.
    #[error(
        "{pending_bytes} bytes wait for the server, the limit is {limit} (max_pending_bytes); check `levi status`{}",
        held_share(*held_bytes)
    )]
    OutboxFull {
        /// Payload bytes on disk of the signed-in user, pending and parked.
        pending_bytes: u64,
        /// Payload bytes on disk of users who are not signed in. All users together have twice `limit`.
        held_bytes: u64,
        /// `max_pending_bytes`.
        limit: u64,
    },
    /// Another message of the session has this sequence number.
    #[error(
        "{session_id} has another message, {holder}, at sequence number {sequence_number}; number messages uniquely"
    )]
    SequenceConflict {
        /// The session.
        session_id: SessionId,
        /// The number that both messages have.
        sequence_number: i64,
        /// The message that had it first.
        holder: MessageId,
    },
    /// The session or repository is another user's, who is not signed in.
    #[error(
        "{lane} is another user's ({}); it waits until that user signs in again; enqueue only what is the signed-in user's",
        .user_id.as_ref().map_or("nobody", UserId::as_str)
    )]
    OtherUser {
        /// The row's lane, which names the session or repository.
        lane: LaneKey,
        /// Whose it is; `None`: nobody had signed in when it was recorded.
        user_id: Option<UserId>,
    },
    /// Neither the session's key nor a database key is known, and no message is written in the clear.
    #[error(
        "no key for {session_id} yet, and no database key to keep its messages under; give Levi one of them"
    )]
    NoKey {
        /// The session.
        session_id: SessionId,
    },
    /// The cipher refused the message.
    #[error(transparent)]
    Unsealable(#[from] SealError),
    /// The outbox cannot be written.
    #[error("the message could not be stored: {0}")]
    Outbox(Arc<OutboxError>),
    /// `start` was not called yet.
    #[error("Levi has not been started; call start() first")]
    NotStarted,
    /// Levi was shut down.
    #[error("Levi has been shut down")]
    Stopped,
}

fn held_share(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        _ => format!(
            "; {bytes} more wait for users who are not signed in, and all together have twice the limit: export and \
             discard them, or sign those users in"
        ),
    }
}

/// Why a stored message will not reach the server by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncedError {
    /// It was parked; `levi outbox` can retry or discard it.
    #[error("the message was parked: {code} ({detail})", code = .0.code, detail = .0.detail)]
    Parked(Reason),
    /// It is in the outbox, and a row on which it depends is parked: nothing happens until that one is retried or
    /// written again.
    #[error("the message waits for a parked row: {code} ({detail})", code = .0.code, detail = .0.detail)]
    ParentParked(Reason),
    /// Its session was deleted on another device. What the outbox has of the session is held until the daemon restores
    /// the session (`SessionSyncService::restore_session`) or its rows are discarded.
    #[error("{detail}", detail = .0.detail)]
    SessionGone(Reason),
    /// It was removed from the outbox by hand before the server had it.
    #[error("the message was discarded from the outbox before the server had it")]
    Discarded,
    /// Levi stopped before the server had it; it is still in the outbox.
    #[error("Levi stopped before the server had the message; it is still in the outbox")]
    Stopped,
}

/// Why Levi could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The outbox could not be opened.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] crate::config::InvalidConfig),
    /// A part could not be made from its settings.
    #[error("{0}")]
    Part(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system has no random numbers, and nothing can be sealed without them.
    #[error("the system has no random numbers, which encryption needs; try again once it has started up")]
    NoRandomness(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// `start` must be called where tokio runs.
    #[error("start() needs a tokio runtime; call it from inside one")]
    NoRuntime,
    /// It was started before. A stopped Levi is not started again: make a new one.
    #[error("Levi was started before")]
    AlreadyStarted,
    /// The system gave no thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
}
