use std::sync::Arc;

use levi_crypto::SealError;
use levi_outbox::{OutboxError, Reason};
use levi_types::{InvalidMessage, MessageId, SessionId};

/// Why a message was not taken. Nothing was written; the caller still has the message.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The message itself cannot be taken.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// Too much is on its way to the disk.
    #[error(
        "the queue is full ({limit} bytes); wait a moment, or use enqueue_durable, which waits by itself"
    )]
    QueueFull {
        /// `max_queued_bytes`.
        limit: usize,
    },
    /// Too much waits on disk for the server.
    #[error(
        "{pending_bytes} bytes wait for the server, the limit is {limit} (max_pending_bytes); check `levi status`"
    )]
    OutboxFull {
        /// What waits.
        pending_bytes: u64,
        /// `max_pending_bytes`.
        limit: u64,
    },
    /// Another message holds this place in the session.
    #[error(
        "{session_id} has another message, {holder}, at sequence number {sequence_number}; number messages uniquely"
    )]
    PlaceTaken {
        /// The session.
        session_id: SessionId,
        /// The place.
        sequence_number: i64,
        /// Who holds it.
        holder: MessageId,
    },
    /// There is neither the session's key nor a database key, and nothing is ever written in the clear.
    #[error(
        "no key for {session_id} yet, and no database key to keep its messages under; give Levi one of them"
    )]
    NoKey {
        /// The session.
        session_id: SessionId,
    },
    /// The cipher cannot take it.
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

/// Why a stored message will not reach the server by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyncedError {
    /// It was set aside; `levi outbox` can retry or discard it.
    #[error("the message was set aside: {code} ({detail})", code = .0.code, detail = .0.detail)]
    Parked(Reason),
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
