//! Sessions and their secrets: the rows that must be on the server before messages are, and the secret that
//! lets the user's other devices read them.

mod error;
mod record;
mod runner;
mod spread;
mod steps;
mod task;
mod waiters;
mod welcome;

use std::sync::{Arc, Mutex};

use levi_crypto::SessionSecret;
use levi_crypto::envelope::DevicePrivateKey;
use levi_transport::{StoredAuth, Supabase};
use levi_types::{
    Auth, Clock, Credentials, DeviceId, RepositoryId, SessionId, SessionStatus, SessionStore,
    is_upper_case_uuid,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand_core::CryptoRng;

pub use self::error::{EncryptionError, SyncError};
pub use self::record::TaskOutbox;
pub use self::runner::{Ran, TaskRunner};
pub use self::steps::Distribution;
pub(crate) use self::task::SyncTask;
pub use self::welcome::Welcome;

use self::record::Recorder;
use self::runner::SessionTasks;
use self::steps::Steps;
use crate::clock::SystemClock;
use crate::secrets_cache::SecretsCache;
use crate::server::{DeviceTrust, Server, ThisDevice};

/// Syncs repositories and sessions, and hands session secrets to all of the user's devices.
///
/// By itself it tries once and says what happened. Joined to an outbox ([`with_outbox`](Self::with_outbox), or
/// `Levi::session_sync`) it records every step before it tries, and what fails is tried again like a message.
#[derive(Clone)]
pub struct SessionSyncService {
    steps: Steps,
    cache: SecretsCache,
    recorder: Option<Recorder>,
}

/// What became of one step.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The server has it.
    Done,
    /// Not yet; it is in the outbox and is tried again by itself.
    WillRetry(SyncError),
    /// Not, and nothing will try again by itself.
    Failed(SyncError),
}

impl Step {
    /// Whether the server has it.
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// What became of the three steps of a new session.
#[derive(Debug)]
pub struct NewSession {
    /// The repository's row.
    pub repository: Step,
    /// The session's row.
    pub session: Step,
    /// The envelopes for all devices.
    pub secret: Step,
}

impl NewSession {
    /// Whether the server has all of it.
    pub const fn is_done(&self) -> bool {
        self.repository.is_done() && self.session.is_done() && self.secret.is_done()
    }
}

impl SessionSyncService {
    /// A service that acts as the user whose sign-in lies in `secrets_manager`, for this device.
    ///
    /// `db_pool` is the daemon's own record of repositories and sessions, and `secrets_cache` is shared with the
    /// message worker so that a new session's messages can be sealed at once.
    pub fn new(
        supabase_client: Arc<dyn Supabase>,
        db_pool: Arc<dyn SessionStore>,
        secrets_manager: Arc<dyn Credentials>,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
        secrets_cache: SecretsCache,
    ) -> Self {
        let auth = Arc::new(StoredAuth::new(secrets_manager));
        Self::with_parts(supabase_client, db_pool, auth, device_id, device_private_key, secrets_cache)
    }

    /// As [`new`](Self::new), with an account that can refresh its token instead of the stored sign-in.
    pub fn with_parts(
        supabase: Arc<dyn Supabase>,
        store: Arc<dyn SessionStore>,
        auth: Arc<dyn Auth>,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
        secrets_cache: SecretsCache,
    ) -> Self {
        let steps = Steps {
            server: Server { supabase, auth },
            store,
            device: ThisDevice::new(device_id, device_private_key),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(Mutex::new(UnwrapErr(SysRng))),
        };
        Self { steps, cache: secrets_cache, recorder: None }
    }

    /// The device that this service acts for.
    pub fn device_id(&self) -> &DeviceId {
        &self.steps.device.id
    }

    /// Hands secrets only to devices that `trust` vouches for, for daemons that check public keys out of band.
    /// The first call decides, for clones too. Before [`with_outbox`](Self::with_outbox): what is recorded there is
    /// run from then on.
    #[must_use]
    pub fn with_trust(self, trust: DeviceTrust) -> Self {
        self.steps.device.trust_only(trust);
        self
    }

    /// Reads time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.steps.clock = clock;
        self
    }

    /// Draws ephemeral keys from `random`.
    #[must_use]
    pub fn with_random(mut self, random: impl CryptoRng + Send + 'static) -> Self {
        self.steps.random = Arc::new(Mutex::new(random));
        self
    }

    /// Records every step in the outbox before it is tried, so that what fails is tried again. Without a
    /// database key in `outbox`, a secret must be in the daemon's store before it is handed out.
    #[must_use]
    pub fn with_outbox(mut self, outbox: Arc<dyn TaskOutbox>) -> Self {
        let recorder = Recorder::new(outbox);
        recorder.join(Arc::new(SessionTasks::new(self.steps.clone(), &recorder)));
        self.recorder = Some(recorder);
        self
    }

    /// Syncs everything for a new session: the repository's row, the session's row (`active`), the secret.
    ///
    /// # Errors
    /// [`SyncError`] where no step could be tried or recorded; otherwise the report says what became of each.
    pub async fn sync_new_session(
        &self,
        session_id: &SessionId,
        repository_id: &RepositoryId,
        session_secret: &SessionSecret,
    ) -> Result<NewSession, SyncError> {
        check_ids([session_id.as_str(), repository_id.as_str()])?;
        if self.steps.store.repository(repository_id)?.is_none() {
            return Err(SyncError::RepositoryNotFound(repository_id.clone()));
        }
        self.cache.remember(session_id.clone(), session_secret);
        let tasks = [
            SyncTask::Repository { repository_id: repository_id.clone() },
            SyncTask::Session {
                session_id: session_id.clone(),
                repository_id: repository_id.clone(),
                status: SessionStatus::Active,
            },
            SyncTask::Secret { session_id: session_id.clone(), wrapped: None },
        ];
        let [repository, session, secret] = match &self.recorder {
            Some(recorder) => recorder.perform(&self.steps, tasks, Some(session_secret)).await?,
            None => self.try_once(tasks, session_secret).await?,
        };
        Ok(NewSession { repository, session, secret })
    }

    /// Syncs a repository's row.
    ///
    /// # Errors
    /// [`SyncError`]; joined to an outbox, what may succeed later is tried again all the same.
    pub async fn sync_repository(&self, repository_id: &RepositoryId) -> Result<(), SyncError> {
        check_ids([repository_id.as_str()])?;
        if self.steps.store.repository(repository_id)?.is_none() {
            return Err(SyncError::RepositoryNotFound(repository_id.clone()));
        }
        let Some(recorder) = &self.recorder else { return self.steps.repository(repository_id).await };
        let task = SyncTask::Repository { repository_id: repository_id.clone() };
        recorder.perform_one(&self.steps, task, None).await
    }

    /// Syncs a session's row with its status: `active`, `paused` or `ended`.
    ///
    /// # Errors
    /// [`SyncError`]; joined to an outbox, what may succeed later is tried again all the same.
    pub async fn sync_session(
        &self,
        session_id: &SessionId,
        repository_id: &RepositoryId,
        status: &str,
    ) -> Result<(), SyncError> {
        check_ids([session_id.as_str(), repository_id.as_str()])?;
        let status: SessionStatus = status.parse()?;
        let Some(recorder) = &self.recorder else {
            return self.steps.session(session_id, repository_id, status).await;
        };
        let (session_id, repository_id) = (session_id.clone(), repository_id.clone());
        let task = SyncTask::Session { session_id, repository_id, status };
        recorder.perform_one(&self.steps, task, None).await
    }

    /// Hands a session's secret to all of the user's active devices, in one request.
    ///
    /// # Errors
    /// [`SyncError`]; joined to an outbox, what may succeed later is tried again all the same.
    pub async fn distribute_secret(
        &self,
        session_id: &SessionId,
        session_secret: &SessionSecret,
    ) -> Result<(), SyncError> {
        check_ids([session_id.as_str()])?;
        self.cache.remember(session_id.clone(), session_secret);
        let Some(recorder) = &self.recorder else {
            return self.steps.secret(session_id, session_secret).await.map(|_| ());
        };
        let task = SyncTask::Secret { session_id: session_id.clone(), wrapped: None };
        recorder.perform_one(&self.steps, task, Some(session_secret)).await
    }

    /// Hands a session's secret out once, right now, and says which devices got it.
    ///
    /// # Errors
    /// [`SyncError`]; nothing is tried again.
    pub async fn distribute_secret_now(
        &self,
        session_id: &SessionId,
        session_secret: &SessionSecret,
    ) -> Result<Distribution, SyncError> {
        check_ids([session_id.as_str()])?;
        self.steps.secret(session_id, session_secret).await
    }

    async fn try_once(&self, tasks: [SyncTask; 3], secret: &SessionSecret) -> Result<[Step; 3], SyncError> {
        // Where nobody is signed in, nothing can be tried.
        self.steps.server.session().await?;
        let mut steps = Vec::with_capacity(tasks.len());
        for task in tasks {
            let parent_failed = steps.iter().any(|step: &Step| !step.is_done());
            let result = if parent_failed {
                Err(record::waits_for_parent())
            } else {
                runner::run(&self.steps, &task, Some(secret)).await
            };
            steps.push(result.map_or_else(Step::Failed, |()| Step::Done));
        }
        steps.try_into().map_err(|_| record::waits_for_parent())
    }
}

/// Ids are sealed into envelopes as text, so they must be written as the server hands them back.
fn check_ids<const N: usize>(ids: [&str; N]) -> Result<(), SyncError> {
    match ids.into_iter().find(|id| is_upper_case_uuid(id)) {
        Some(id) => Err(SyncError::UpperCaseUuid(id.to_owned())),
        None => Ok(()),
    }
}
