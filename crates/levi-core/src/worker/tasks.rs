//! The worker's outbox, as session sync sees it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::{NewTask, Reason};
use tokio::sync::oneshot;

use super::Shared;
use super::inbox::Closed;
use crate::batcher::PauseReason;
use crate::engine::Event;
use crate::error::EnqueueError;
use crate::session_sync::{TaskOutbox, TaskRunner};
use crate::status::Status;

/// The worker's outbox, as session sync sees it.
///
/// Weak, for the worker keeps the service that runs its tasks: held the other way too, neither would ever go, and
/// their keys would stay in memory.
pub(super) struct Tasks(Weak<Shared>);

impl Tasks {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    fn shared(&self) -> Result<Arc<Shared>, String> {
        self.0.upgrade().ok_or_else(|| EnqueueError::Stopped.to_string())
    }
}

#[async_trait]
impl TaskOutbox for Tasks {
    async fn put_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<String>, String> {
        let (reply, recorded) = oneshot::channel();
        let stopped = || EnqueueError::Stopped.to_string();
        let shared = self.shared()?;
        if !shared.started.load(Ordering::Acquire) {
            return Err(EnqueueError::NotStarted.to_string());
        }
        shared.inbox.push(Event::PutTasks { tasks, reply }).map_err(|Closed| stopped())?;
        drop(shared);
        recorded.await.map_err(|_| stopped())?.map_err(|error| error.to_string())
    }

    async fn paused(&self) -> Reason {
        let Ok(shared) = self.shared() else { return stopped() };
        let (mut status, mut ended) = (shared.status.subscribe(), shared.ended.subscribe());
        let (reply, reached) = oneshot::channel();
        // A status from before the caller's last call must not be taken for the present one.
        let asked = shared.inbox.push(Event::Barrier(reply));
        drop(shared);
        if asked.is_err() || reached.await.is_err() {
            return stopped();
        }
        let lasting = |status: &Status| status.paused.as_ref().is_some_and(PauseReason::is_lasting);
        tokio::select! {
            paused = status.wait_for(lasting) => {
                let paused = paused.ok().and_then(|status| status.paused.clone());
                paused.map_or_else(stopped, |paused| paused.to_reason())
            }
            _ = ended.wait_for(Option::is_some) => stopped(),
        }
    }

    fn run_with(&self, runner: Arc<dyn TaskRunner>) {
        if let Ok(shared) = self.shared() {
            shared.outside.run_tasks_with(runner);
            let _ = shared.inbox.push(Event::WrittenElsewhere);
        }
    }

    fn database_key(&self) -> Option<DatabaseKey> {
        self.shared().ok()?.sealer.database_key().cloned()
    }
}

fn stopped() -> Reason {
    Reason { code: "stopped".into(), detail: "Levi has been shut down".into() }
}
