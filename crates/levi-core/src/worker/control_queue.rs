//! The worker's queue, as session sync sees it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::NewRow;
use tokio::sync::oneshot;

use super::Shared;
use super::inbox::Closed;
use crate::control::{ControlQueue, ControlSender, Step};
use crate::engine::{ControlIntake, Event};
use crate::error::EnqueueError;

/// How long a caller waits for the first attempts at its rows.
const FIRST_ATTEMPTS_WITHIN: Duration = Duration::from_secs(60);

/// Weak, because the worker keeps the sender: if each kept the other, neither would ever be dropped, and
/// their keys would stay in memory.
pub(super) struct WorkerQueue(Weak<Shared>);

impl WorkerQueue {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    fn push(&self, event: Event) -> Result<(), EnqueueError> {
        let shared = self.0.upgrade().ok_or(EnqueueError::Stopped)?;
        if !shared.started.load(Ordering::Acquire) {
            return Err(EnqueueError::NotStarted);
        }
        shared.inbox.push(event).map_err(|Closed| EnqueueError::Stopped)
    }
}

#[async_trait]
impl ControlQueue for WorkerQueue {
    /// Enqueues the rows and waits for the first attempt at each.
    async fn enqueue(&self, rows: Vec<NewRow>) -> Result<Vec<Step>, EnqueueError> {
        let intake = rows.into_iter().map(|row| {
            let (reply, tried) = oneshot::channel();
            (ControlIntake { row, reply }, tried)
        });
        let (rows, tried): (Vec<_>, Vec<_>) = intake.unzip();
        self.push(Event::EnqueueControl { rows, within: FIRST_ATTEMPTS_WITHIN })?;
        let mut steps = Vec::with_capacity(tried.len());
        for step in tried {
            steps.push(step.await.unwrap_or(Err(EnqueueError::Stopped))?);
        }
        Ok(steps)
    }

    fn send_with(&self, sender: Arc<dyn ControlSender>) {
        if let Some(shared) = self.0.upgrade() {
            shared.dispatcher.set_control_sender(sender);
        }
    }

    fn database_key(&self) -> Option<DatabaseKey> {
        self.0.upgrade()?.sealer.database_key().cloned()
    }
}
