//! The ports between session sync and the worker, so that neither knows the other.

use std::sync::Arc;

use async_trait::async_trait;
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::{LaneKey, NewRow};
use levi_types::UserId;

use crate::error::EnqueueError;
use crate::sync_error::SyncError;

/// The outcome of one step of session sync.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The server has it.
    Done,
    /// The server does not have it yet. It is in the outbox, and Levi tries again by itself, after its parents.
    WillRetry(SyncError),
    /// The server does not have it, and nothing tries again by itself: it was refused, or a parent of it is parked.
    Failed(SyncError),
}

impl Step {
    /// Whether the server has it.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// Whether the server had a session's row once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// As far as this device knows, it never had it: the row may be inserted.
    NotSentYet,
    /// The row is from a damaged outbox, and the server may have a newer one, of a session or of its secret: it is written
    /// only where the server has none.
    MayBeNewer,
    /// It had it. If the row is missing now, the session was deleted elsewhere, and is not written again unless the
    /// daemon asks for that.
    WasThere,
    /// It had it, as for [`WasThere`](Self::WasThere), and a secret of it waits in the outbox. Whether the server has
    /// another one is asked before messages follow.
    WasThereUncompared,
}

/// Sends control rows: the rows of repositories, sessions and secrets.
#[async_trait]
pub trait ControlSender: Send + Sync {
    /// Acts for `user` from now on, unless it acts for somebody already. Returns for whom: rows of others wait for a
    /// sender of their own.
    fn claim(&self, user: &UserId) -> UserId;

    /// Sends the control row of `lane` once, built from what the daemon's store says now. `payload` is what
    /// the outbox has. `user` is for whom it was recorded; it is sent as nobody else. `presence` is about the session of
    /// a session's lane.
    ///
    /// # Errors
    /// [`SyncError`], which says whether another attempt may succeed. [`SyncError::OtherSecret`] of a session's row: the
    /// server has the row, and another secret of the session than this device.
    async fn send(
        &self,
        user: Option<&UserId>,
        lane: &LaneKey,
        payload: &[u8],
        presence: Presence,
    ) -> Result<(), SyncError>;

    /// Compares the recovery key's envelopes on the server with those that `user`'s device seals for it, and writes again
    /// what is not right. Called now and then, because nobody else reads them until all devices are lost.
    ///
    /// # Errors
    /// [`SyncError`]; a later call tries again.
    async fn mend_recovery_envelopes(&self, user: &UserId) -> Result<(), SyncError> {
        let _ = user;
        Ok(())
    }
}

/// The worker's queue, as session sync sees it.
#[async_trait]
pub trait ControlQueue: Send + Sync {
    /// Stores control rows in one transaction, parents first, and returns the outcome of each row's first
    /// attempt. A row that cannot be tried for now is [`Step::WillRetry`]: nothing is being sent, a parent
    /// failed, or a minute went by.
    ///
    /// # Errors
    /// [`EnqueueError`]; the row is not stored.
    async fn enqueue(&self, rows: Vec<NewRow>) -> Result<Vec<Step>, EnqueueError>;

    /// Names the sender of control rows. Those of its user that are due are sent from then on. One that is named before
    /// anybody signed in is the first user's.
    fn send_with(&self, sender: Arc<dyn ControlSender>);

    /// The key that encrypts secrets on this device's disk, if there is one.
    fn database_key(&self) -> Option<DatabaseKey>;
}
