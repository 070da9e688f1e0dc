//! Steps that survive a failure: recorded in the outbox first, run by the worker, awaited here.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use levi_crypto::SessionSecret;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_outbox::{NewTask, Reason};
use levi_types::SessionId;
use tokio::sync::oneshot;

use super::Step;
use super::error::{EncryptionError, SyncError};
use super::runner::TaskRunner;
use super::steps::Steps;
use super::task::SyncTask;
use super::waiters::{Ended, Waiters};

/// An outbox with a worker behind it, as session sync sees it.
#[async_trait]
pub trait TaskOutbox: Send + Sync {
    /// Records tasks; returns once they are on disk, with the names of those that cannot be run yet because one that
    /// was recorded earlier must be done first. Takes its place in the order when it is first polled.
    ///
    /// # Errors
    /// Why they could not be, in words.
    async fn put_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<String>, String>;

    /// Returns when nothing is being sent for a reason that only somebody else can end, with that reason.
    async fn paused(&self) -> Reason;

    /// Says who runs the tasks.
    fn run_with(&self, runner: Arc<dyn TaskRunner>);

    /// What wraps secrets on this device's disk, if there is a key for it.
    fn database_key(&self) -> Option<DatabaseKey>;
}

#[derive(Clone)]
pub(super) struct Recorder {
    outbox: Arc<dyn TaskOutbox>,
    pub(super) waiters: Waiters,
    /// Held while a caller joins and its tasks are recorded: callers are in the order of their records.
    recording: Arc<Mutex<()>>,
}

impl Recorder {
    pub(super) fn new(outbox: Arc<dyn TaskOutbox>) -> Self {
        Self { outbox, waiters: Waiters::default(), recording: Arc::default() }
    }

    pub(super) fn join(&self, runner: Arc<dyn TaskRunner>) {
        self.outbox.run_with(runner);
    }

    /// Records the tasks together, then waits until each was tried once, parents first.
    pub(super) async fn perform<const N: usize>(
        &self,
        steps: &Steps,
        tasks: [SyncTask; N],
        secret: Option<&SessionSecret>,
    ) -> Result<[Step; N], SyncError> {
        let now = steps.clock.now().wall;
        let mut recorded = Vec::with_capacity(N);
        for task in tasks {
            recorded.push(self.with_secret(steps, task, secret)?.recorded(now));
        }
        let ends = self.record(recorded).await?;
        let mut done: Vec<Step> = Vec::with_capacity(N);
        for end in ends {
            let parent_waits = done.iter().any(|step| !step.is_done());
            done.push(match end {
                Some(end) if !parent_waits => self.outcome(end).await,
                _ => Step::WillRetry(waits_for_parent()),
            });
        }
        done.try_into().map_err(|_| waits_for_parent())
    }

    /// For each task when it was tried, or `None` for one that cannot be yet.
    async fn record(&self, tasks: Vec<NewTask>) -> Result<Vec<Option<oneshot::Receiver<Ended>>>, SyncError> {
        let names: Vec<String> = tasks.iter().map(|task| task.name.clone()).collect();
        let waiters = &self.waiters;
        let joining = tasks.clone();
        let mut put = self.outbox.put_tasks(tasks);
        let (ends, first) = poll_fn(|context| {
            let _in_order = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
            let ends: Vec<_> = joining.iter().map(|task| waiters.join(task)).collect();
            Poll::Ready((ends, put.as_mut().poll(context)))
        })
        .await;
        let blocked = match first {
            Poll::Ready(recorded) => recorded,
            Poll::Pending => put.await,
        };
        let blocked = blocked.map_err(SyncError::NotRecorded)?;
        Ok(names.iter().zip(ends).map(|(name, end)| (!blocked.contains(name)).then_some(end)).collect())
    }

    pub(super) async fn perform_one(
        &self,
        steps: &Steps,
        task: SyncTask,
        secret: Option<&SessionSecret>,
    ) -> Result<(), SyncError> {
        let [step] = self.perform(steps, [task], secret).await?;
        match step {
            Step::Done => Ok(()),
            Step::WillRetry(error) | Step::Failed(error) => Err(error),
        }
    }

    /// The secret a task hands out: from its record, else from the daemon's store.
    pub(super) fn secret_of(
        &self,
        steps: &Steps,
        task: &SyncTask,
    ) -> Result<Option<SessionSecret>, SyncError> {
        let SyncTask::Secret { session_id, wrapped } = task else { return Ok(None) };
        let Some(wrapped) = wrapped else {
            let stored = steps.store.session_secret(session_id)?;
            // Exposed to be parsed; it goes on as a `SessionSecret`.
            let parsed = stored.map(|secret| SessionSecret::parse(secret.expose())).transpose();
            return Ok(parsed.map_err(EncryptionError::from)?);
        };
        let key = self.outbox.database_key().ok_or_else(|| SyncError::SecretNotFound(session_id.clone()))?;
        let unreadable = || SyncError::SecretNotFound(session_id.clone());
        let wrapped = BASE64.decode(wrapped).map_err(|_| unreadable())?;
        let text = at_rest::open(&key, slot(session_id), &wrapped).map_err(EncryptionError::from)?;
        let text = std::str::from_utf8(&text).map_err(|_| unreadable())?;
        Ok(Some(SessionSecret::parse(text).map_err(EncryptionError::from)?))
    }

    /// Puts the secret into the record, wrapped, unless the daemon's store has it anyway.
    fn with_secret(
        &self,
        steps: &Steps,
        task: SyncTask,
        secret: Option<&SessionSecret>,
    ) -> Result<SyncTask, SyncError> {
        let (SyncTask::Secret { session_id, .. }, Some(secret)) = (&task, secret) else { return Ok(task) };
        if steps.store.session_secret(session_id)?.is_some() {
            return Ok(task);
        }
        let Some(key) = self.outbox.database_key() else {
            return Err(SyncError::NotRecorded(
                "without a database key, save the secret in the session store first".into(),
            ));
        };
        let wrapped = {
            let mut random = steps.random.lock().unwrap_or_else(PoisonError::into_inner);
            // Exposed to be wrapped for the disk.
            at_rest::seal(&key, slot(session_id), secret.expose().as_bytes(), &mut *random)
                .map_err(EncryptionError::from)?
        };
        Ok(SyncTask::Secret { session_id: session_id.clone(), wrapped: Some(BASE64.encode(wrapped)) })
    }

    async fn outcome(&self, end: oneshot::Receiver<Ended>) -> Step {
        tokio::select! {
            biased;
            ended = end => match ended {
                Ok(Ended { result: Ok(()), .. }) => Step::Done,
                Ok(Ended { result: Err(error), retried: true }) => Step::WillRetry(error),
                Ok(Ended { result: Err(error), retried: false }) => Step::Failed(error),
                Err(_) => Step::WillRetry(waits_for_parent()),
            },
            reason = self.outbox.paused() => Step::WillRetry(pause(reason)),
        }
    }
}

fn pause(reason: Reason) -> SyncError {
    if reason.code == "signed_out" { SyncError::NotAuthenticated } else { SyncError::Waiting(reason) }
}

pub(super) fn waits_for_parent() -> SyncError {
    SyncError::Waiting(Reason { code: "parent".into(), detail: "an earlier step must succeed first".into() })
}

fn slot(session_id: &SessionId) -> Slot<'_> {
    Slot { table: "levi_tasks", row_key: session_id.as_str(), column: "secret" }
}
