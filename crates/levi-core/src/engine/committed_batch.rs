//! The callers that wait for their rows, what they are told, and how they are completed.

use std::time::Duration;

use levi_outbox::{Enqueued, LaneKey, NewRow, RowKey};
use levi_types::SessionId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::control::Step;
use crate::error::EnqueueError;

/// Proof that a message is on disk, or on the server. [`synced`](crate::Worker::synced) returns when the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) session_id: SessionId,
    pub(crate) sequence_number: i64,
    /// `None`: the server has the message already.
    pub(crate) row: Option<RowKey>,
    pub(crate) replaced: bool,
}

impl Receipt {
    /// The message's session.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// The message's sequence number in its session.
    pub fn sequence_number(&self) -> i64 {
        self.sequence_number
    }

    /// Whether nothing was stored, because the server has taken this very text of the message from this device before.
    pub fn already_synced(&self) -> bool {
        self.row.is_none()
    }

    /// Whether the message replaced an older payload of the same message, not yet sent or parked.
    pub fn replaced(&self) -> bool {
        self.replaced
    }
}

/// Whether a message is on disk.
pub type Stored = Result<Receipt, EnqueueError>;

/// The outcome of a control row's first attempt.
pub type Tried = Result<Step, EnqueueError>;

/// The caller that enqueued a row; by default none.
#[derive(Debug, Default)]
pub(crate) struct Waiter {
    /// The row's share of the queue, held until the row is on disk or refused.
    _permit: Option<OwnedSemaphorePermit>,
    reply: Reply,
}

#[derive(Debug, Default)]
enum Reply {
    #[default]
    Nobody,
    /// The caller waits until the row is on disk.
    Stored(oneshot::Sender<Stored>),
    /// The caller waits until the row was tried once.
    Tried(oneshot::Sender<Tried>, Duration),
}

impl Waiter {
    pub(crate) fn for_message(
        permit: Option<OwnedSemaphorePermit>,
        reply: Option<oneshot::Sender<Stored>>,
    ) -> Self {
        Self { _permit: permit, reply: reply.map_or(Reply::Nobody, Reply::Stored) }
    }

    pub(super) fn for_first_attempt(reply: oneshot::Sender<Tried>, within: Duration) -> Self {
        Self { _permit: None, reply: Reply::Tried(reply, within) }
    }

    pub(super) fn is_waiting(&self) -> bool {
        !matches!(self.reply, Reply::Nobody)
    }

    /// The reply to complete when the row was tried, and how long that may take.
    pub(super) fn take_tried(&mut self) -> Option<(oneshot::Sender<Tried>, Duration)> {
        match std::mem::take(&mut self.reply) {
            Reply::Tried(reply, within) => Some((reply, within)),
            other => {
                self.reply = other;
                None
            }
        }
    }

    /// The row is on disk.
    fn complete(self, receipt: Receipt) {
        if let Reply::Stored(reply) = self.reply {
            // The caller may be gone: the message is stored all the same.
            let _ = reply.send(Ok(receipt));
        }
    }

    /// The row is not stored.
    pub(super) fn refuse(self, error: EnqueueError) {
        match self.reply {
            Reply::Nobody => {}
            Reply::Stored(reply) => drop(reply.send(Err(error))),
            Reply::Tried(reply, _) => drop(reply.send(Err(error))),
        }
    }
}

/// The rows of one commit, with the callers that wait for them. Completing them takes a fair part of the
/// time that storing the rows took, so it may be done on another thread than the one that waits for the disk.
#[derive(Debug)]
#[must_use = "the callers wait"]
pub struct CommittedBatch {
    waiters: Vec<Waiter>,
    /// In the order of `waiters`.
    rows: Vec<NewRow>,
    /// In the order of `waiters`. Those that the outbox refused have no waiter any more.
    outcomes: Vec<Enqueued>,
}

impl CommittedBatch {
    pub(crate) fn new(waiters: Vec<Waiter>, rows: Vec<NewRow>, outcomes: Vec<Enqueued>) -> Self {
        Self { waiters, rows, outcomes }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Completes the callers with their receipts, and gives back their share of the queue.
    pub fn complete(self) {
        let rows = self.rows.into_iter().zip(self.outcomes);
        for (waiter, (row, outcome)) in self.waiters.into_iter().zip(rows) {
            let NewRow { lane: LaneKey::Messages(session_id), sequence_number, .. } = row else { continue };
            let (row, replaced) = match outcome {
                Enqueued::Stored { key, replaced } => (Some(key), replaced),
                Enqueued::AlreadySynced => (None, false),
                _ => continue,
            };
            waiter.complete(Receipt { session_id, sequence_number, row, replaced });
        }
    }
}
