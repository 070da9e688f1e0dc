//! Running a recorded task, for the worker.

use async_trait::async_trait;
use levi_crypto::SessionSecret;
use levi_outbox::Reason;
use levi_transport::Verdict;

use super::error::SyncError;
use super::record::Recorder;
use super::steps::Steps;
use super::task::SyncTask;
use super::waiters::{Ended, Mark};
use crate::batcher::TaskEnd;

/// Runs what the outbox recorded.
#[async_trait]
pub trait TaskRunner: Send + Sync {
    /// Runs one task once. `payload` is what was recorded.
    async fn run(&self, payload: &[u8]) -> Ran;
}

/// What came of a run.
pub struct Ran {
    /// How it ended.
    pub end: TaskEnd,
    /// Tells those who wait. Called once the end is in the worker's inbox: whatever they do next comes after it.
    pub tell: Box<dyn FnOnce() + Send>,
}

/// The tasks of session sync.
pub(super) struct SessionTasks {
    steps: Steps,
    recorder: Recorder,
}

impl SessionTasks {
    pub(super) fn new(steps: Steps, recorder: &Recorder) -> Self {
        Self { steps, recorder: recorder.clone() }
    }
}

#[async_trait]
impl TaskRunner for SessionTasks {
    async fn run(&self, payload: &[u8]) -> Ran {
        let Some(task) = SyncTask::parse(payload) else {
            let end = TaskEnd::Impossible(Reason {
                code: "unknown_task".into(),
                detail: "this version of Levi does not know the task".into(),
            });
            return Ran { end, tell: Box::new(|| {}) };
        };
        let began = self.recorder.waiters.mark();
        let result = match self.recorder.secret_of(&self.steps, &task) {
            Ok(secret) => run(&self.steps, &task, secret.as_ref()).await,
            Err(error) => Err(error),
        };
        self.ended(&task, payload, began, result)
    }
}

impl SessionTasks {
    fn ended(&self, task: &SyncTask, payload: &[u8], began: Mark, result: Result<(), SyncError>) -> Ran {
        let end = end_of(&result);
        let retried = matches!(end, TaskEnd::Waiting(_))
            || matches!(&end, TaskEnd::Answered(error) if is_transient(error.verdict));
        let (waiters, name, payload) = (self.recorder.waiters.clone(), task.name(), payload.to_vec());
        let tell = move || waiters.tell(&name, &payload, began, Ended { result, retried });
        Ran { end, tell: Box::new(tell) }
    }
}

/// Runs one step once.
pub(super) async fn run(
    steps: &Steps,
    task: &SyncTask,
    secret: Option<&SessionSecret>,
) -> Result<(), SyncError> {
    match task {
        SyncTask::Repository { repository_id } => steps.repository(repository_id).await,
        SyncTask::Session { session_id, repository_id, status } => {
            steps.session(session_id, repository_id, *status).await
        }
        SyncTask::Secret { session_id, .. } => {
            let secret = secret.ok_or_else(|| SyncError::SecretNotFound(session_id.clone()))?;
            steps.secret(session_id, secret).await.map(|_| ())
        }
    }
}

/// What the batcher makes of it: the server's answers by the verdict table, local trouble by whether waiting
/// may help.
fn end_of(result: &Result<(), SyncError>) -> TaskEnd {
    let error = match result {
        Ok(()) => return TaskEnd::Done,
        Err(error) => error,
    };
    let reason = |code: &str| Reason { code: code.into(), detail: error.to_string() };
    match error {
        SyncError::Supabase(error) => TaskEnd::Answered(error.clone()),
        SyncError::NotAuthenticated => TaskEnd::Waiting(reason("signed_out")),
        SyncError::NoDeviceIdentity => TaskEnd::Waiting(reason("no_device")),
        SyncError::SecretNotFound(_) => TaskEnd::Waiting(reason("missing_secret")),
        SyncError::Store(_) => TaskEnd::Waiting(reason("session_store")),
        SyncError::SignInUnavailable(_) => TaskEnd::Waiting(reason("sign_in")),
        SyncError::RepositoryNotFound(_) => TaskEnd::Impossible(reason("repository_not_found")),
        SyncError::SessionNotFound(_) => TaskEnd::Impossible(reason("session_not_found")),
        _ => TaskEnd::Impossible(reason("encryption")),
    }
}

const fn is_transient(verdict: Verdict) -> bool {
    !matches!(verdict, Verdict::Rejected | Verdict::TooLarge | Verdict::DuplicateInBatch)
}
