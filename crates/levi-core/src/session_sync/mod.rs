//! Sessions and their secrets: the rows that must be on the server before messages are, and the secret that
//! lets the user's other devices read them.

mod adopted;
mod begun;
mod parallel_map;
mod recipients;
mod record;
mod recovery_envelopes;
mod repository_row;
mod secret;
mod sender;
mod session_row;
mod share;
mod skipped;
mod steps;
mod stored_secret;

use std::sync::{Arc, Mutex};

use levi_crypto::SessionSecret;
use levi_crypto::envelope::DevicePrivateKey;
use levi_outbox::Reason;
use levi_outbox::backoff::Backoff;
use levi_transport::{StoredAuth, Supabase, SystemClock};
use levi_types::{
    Auth, Clock, Credentials, DeviceId, RepositoryId, SessionId, SessionStatus, SessionStore, UserId,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand_core::CryptoRng;

pub use self::secret::Distribution;
pub use self::share::BackfillReport;

use self::adopted::Adopted;
use self::begun::Begun;
use self::sender::SessionSender;
use self::skipped::Skipped;
use self::steps::Steps;
use crate::control::{ControlQueue, Presence, Step};
use crate::control_row::{ControlRow, Replaces, rows_to_restore};
use crate::device_list::SignedDeviceList;
use crate::error::EnqueueError;
use crate::patient_store::PatientStore;
use crate::read_policy::{OnReadRetry, Retries};
use crate::secrets_cache::SecretsCache;
use crate::server::{DeviceTrust, Server, ThisDevice};
use crate::sync_error::SyncError;

/// Syncs repositories and sessions, and distributes session secrets to all of the user's devices.
///
/// By itself it makes one attempt and returns its outcome. With an outbox ([`with_outbox`](Self::with_outbox), or
/// `Levi::session_sync`) it stores every step before it is tried, and Levi retries it like a message.
#[derive(Clone)]
pub struct SessionSyncService {
    steps: Steps,
    queue: Option<Arc<dyn ControlQueue>>,
}

/// The outcome of the three steps of a new session.
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
    /// A service that acts as the user whose sign-in is stored in `secrets_manager`, for this device.
    ///
    /// `db_pool` is the daemon's own store of repositories and sessions. `secrets_cache` is shared with the message
    /// worker, so that a new session's messages can be sealed at once.
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

    /// As [`new`](Self::new), with an `auth` that can refresh its token instead of the stored sign-in.
    pub fn with_parts(
        supabase: Arc<dyn Supabase>,
        store: Arc<dyn SessionStore>,
        auth: Arc<dyn Auth>,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
        secrets_cache: SecretsCache,
    ) -> Self {
        let steps = Steps {
            server: Server::new(supabase, auth, secrets_cache),
            store: Arc::new(PatientStore::new(store)),
            device: ThisDevice::new(device_id, device_private_key),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(Mutex::new(UnwrapErr(SysRng))),
            adopted: Adopted::default(),
            begun: Begun::default(),
            device_list: None,
            skipped: Skipped::default(),
            retries: Retries::default(),
        };
        Self { steps, queue: None }
    }

    /// The device that this service acts for.
    pub fn device_id(&self) -> &DeviceId {
        &self.steps.device.id
    }

    /// For whom this service acts: the user of its first use, or who was signed in when it was given its outbox. `None`
    /// if nobody was. Under another sign-in it sends nothing.
    pub fn user(&self) -> Option<&UserId> {
        self.steps.server.user()
    }

    /// Sends secrets only to devices that `trust` accepts, for daemons that check public keys out of band. The
    /// first call decides, for clones too. Call it before [`with_outbox`](Self::with_outbox), because rows that are
    /// in the outbox are sent from then on.
    #[must_use]
    pub fn with_trust(self, trust: DeviceTrust) -> Self {
        self.steps.device.trust_only(trust);
        self
    }

    /// Gives secrets to the devices on the user's signed list only, under the list's keys. The list must be this device's.
    /// Call it before [`with_outbox`](Self::with_outbox). Without a list, every active row of `devices` is given them, so
    /// anyone who holds the user's token can add a device.
    #[must_use]
    pub fn with_device_list(mut self, list: SignedDeviceList) -> Self {
        self.steps.device_list = Some(list);
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

    /// Asks for each page of the sessions to be shared up to `retries` times again, with these delays.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_retries(mut self, backoff: Backoff, retries: u32) -> Self {
        self.steps.retries = Retries { backoff, most: retries };
        self
    }

    /// Tells `tell` of each read that is tried again.
    #[must_use]
    pub fn on_read_retry(mut self, tell: OnReadRetry) -> Self {
        self.steps.server.on_read_retry = Some(tell);
        self
    }

    /// Stores every step in the outbox before it is tried, so that a step that fails is retried. Without a database
    /// key in `queue`, a secret must be in the daemon's store before it is distributed.
    #[must_use]
    pub fn with_outbox(mut self, queue: Arc<dyn ControlQueue>) -> Self {
        queue.send_with(Arc::new(SessionSender::new(self.steps.clone(), Arc::clone(&queue))));
        self.queue = Some(queue);
        self
    }

    /// Syncs everything for a new session: the repository's row, the session's row (`active`), the secret.
    ///
    /// A session that another device began is left as it is, and so is another secret of the session on the server
    /// ([`SyncError::SessionOfAnotherDevice`], [`SyncError::OtherSecret`] in the report): a second secret would make
    /// what is there unreadable. Both errors say how to go on.
    ///
    /// # Errors
    /// [`SyncError`] if no step could be tried or stored; otherwise the report has the outcome of each.
    pub async fn sync_new_session(
        &self,
        session_id: &SessionId,
        repository_id: &RepositoryId,
        session_secret: &SessionSecret,
    ) -> Result<NewSession, SyncError> {
        session_id.check()?;
        repository_id.check()?;
        let user = self.recording_for();
        self.check_repository(repository_id)?;
        self.check_session(user.as_ref(), session_id)?;
        self.remember(session_id, session_secret);
        let status = SessionStatus::Active;
        let Some(queue) = &self.queue else {
            return self.try_once(session_id, repository_id, status, session_secret).await;
        };
        let rows = [
            ControlRow::Repository { repository_id: repository_id.clone() },
            session_row(session_id, repository_id, status),
            self.secret_row(&**queue, session_id, session_secret, Replaces::Known)?,
        ];
        let [repository, session, secret] = self.enqueue(&**queue, user, rows).await?;
        if session.is_done() {
            self.ask_for_messages(session_id).await;
        }
        Ok(NewSession { repository, session, secret })
    }

    /// With a signed device list, the first message of a session begins an epoch only if no device has written one. An
    /// answer that does not come makes the first messages late, and costs nothing else.
    async fn ask_for_messages(&self, session_id: &SessionId) {
        let server = &self.steps.server;
        if !server.cache.uses_device_list() || matches!(self.steps.store.last_sent(session_id), Ok(Some(_))) {
            return;
        }
        let asked: Result<_, SyncError> = async {
            let auth = server.session().await?;
            Ok(server.last_sequence_number(&auth, session_id).await?)
        }
        .await;
        if let Err(error) = asked {
            tracing::debug!(%session_id, "whether it has messages is not known: {error}");
        }
    }

    /// Syncs a repository's row.
    ///
    /// # Errors
    /// [`SyncError`]; with an outbox, Levi retries all the same if a later attempt may succeed.
    pub async fn sync_repository(&self, repository_id: &RepositoryId) -> Result<(), SyncError> {
        repository_id.check()?;
        let user = self.recording_for();
        self.check_repository(repository_id)?;
        let Some(queue) = &self.queue else { return self.steps.repository(repository_id).await };
        let row = ControlRow::Repository { repository_id: repository_id.clone() };
        self.enqueue_one(&**queue, user, row).await
    }

    /// Syncs a session's row with its status: `active`, `paused` or `ended`.
    ///
    /// Of a session that the daemon's store knows as another device's, or by its ids only, what is known is written: it
    /// stays that device's, and keeps its title and branch.
    ///
    /// # Errors
    /// [`SyncError`]; with an outbox, Levi retries all the same if a later attempt may succeed.
    pub async fn sync_session(
        &self,
        session_id: &SessionId,
        repository_id: &RepositoryId,
        status: &str,
    ) -> Result<(), SyncError> {
        session_id.check()?;
        repository_id.check()?;
        let status: SessionStatus = status.parse()?;
        let user = self.recording_for();
        self.check_session(user.as_ref(), session_id)?;
        let Some(queue) = &self.queue else {
            let written = self.steps.session(session_id, repository_id, status, Presence::NotSentYet).await;
            return written.map(drop);
        };
        self.enqueue_one(&**queue, user, session_row(session_id, repository_id, status)).await
    }

    /// Distributes a session's secret to all of the user's active devices, in one request. On the session's own device
    /// it replaces an earlier secret of the session; elsewhere another secret than the session's is refused.
    ///
    /// # Errors
    /// [`SyncError::OtherSecret`] if the session is another device's and has another secret.
    /// [`SyncError::DevicesSkipped`] if some devices cannot be given it for now, for example because their public key
    /// cannot be used: the others have it. Otherwise as named; with an outbox, Levi retries all the
    /// same if a later attempt may succeed.
    pub async fn distribute_secret(
        &self,
        session_id: &SessionId,
        session_secret: &SessionSecret,
    ) -> Result<(), SyncError> {
        session_id.check()?;
        let user = self.recording_for();
        self.check_session(user.as_ref(), session_id)?;
        self.remember(session_id, session_secret);
        let Some(queue) = &self.queue else {
            return self.steps.secret(session_id, session_secret, Replaces::Any).await?.complete();
        };
        let row = self.secret_row(&**queue, session_id, session_secret, Replaces::Any)?;
        self.enqueue_one(&**queue, user, row).await
    }

    /// Distributes a session's secret once, at once, and returns which devices got it.
    ///
    /// # Errors
    /// [`SyncError`]; nothing is retried.
    pub async fn distribute_secret_now(
        &self,
        session_id: &SessionId,
        session_secret: &SessionSecret,
    ) -> Result<Distribution, SyncError> {
        session_id.check()?;
        self.check_session(self.recording_for().as_ref(), session_id)?;
        self.steps.skipped.forget(session_id);
        self.steps.secret(session_id, session_secret, Replaces::Any).await
    }

    /// Writes a session to the server again after it was deleted on another device: its repository's row, its row and
    /// its secret. The messages that are still in the outbox follow; those that the server had are gone there, and
    /// can be enqueued again.
    ///
    /// # Errors
    /// [`SyncError`]: the session and its secret must be in the daemon's store, and this service must have an outbox.
    pub async fn restore_session(&self, session_id: &SessionId) -> Result<NewSession, SyncError> {
        let Some(queue) = &self.queue else { return Err(EnqueueError::NotStarted.into()) };
        let user = self.recording_for();
        let session = self.steps.store.session(session_id)?;
        let session = session.ok_or_else(|| SyncError::SessionNotFound(session_id.clone()))?;
        self.check_repository(&session.repository_id)?;
        self.check_session(user.as_ref(), session_id)?;
        self.steps.stored_secret(session_id)?;
        self.steps.skipped.forget(session_id);
        let rows = rows_to_restore(&session, self.steps.clock.now().wall);
        let [repository, session, secret] = self.enqueue_rows(&**queue, user, rows).await?;
        Ok(NewSession { repository, session, secret })
    }

    /// What the server can never take is refused before anything is stored.
    fn check_repository(&self, repository_id: &RepositoryId) -> Result<(), SyncError> {
        let known = self.steps.store.repository(repository_id)?;
        let known = known.ok_or_else(|| SyncError::RepositoryNotFound(repository_id.clone()))?;
        Ok(known.check()?)
    }

    /// For whom something is recorded now. A call asks once, because another user may sign in before it returns.
    fn recording_for(&self) -> Option<UserId> {
        self.steps.server.cache.user()
    }

    fn check_session(&self, user: Option<&UserId>, session_id: &SessionId) -> Result<(), SyncError> {
        self.steps.check_session(user, session_id)?;
        self.steps.store.session(session_id)?.map_or(Ok(()), |session| Ok(session.check()?))
    }

    fn remember(&self, session_id: &SessionId, secret: &SessionSecret) {
        self.steps.skipped.forget(session_id);
        self.steps.server.cache.remember(session_id.clone(), secret);
    }

    /// One attempt at each step, as long as the one before it succeeds.
    async fn try_once(
        &self,
        session_id: &SessionId,
        repository_id: &RepositoryId,
        status: SessionStatus,
        secret: &SessionSecret,
    ) -> Result<NewSession, SyncError> {
        // Without a sign-in no step can be tried.
        self.steps.server.session().await?;
        let repository = step(self.steps.repository(repository_id).await);
        let session = match repository {
            Step::Done => {
                let presence = Presence::NotSentYet;
                step(self.steps.session(session_id, repository_id, status, presence).await.map(drop))
            }
            _ => Step::Failed(waits_for_parent()),
        };
        let secret = match session {
            Step::Done => {
                let given = self.steps.secret(session_id, secret, Replaces::Known).await;
                step(given.and_then(Distribution::complete))
            }
            _ => Step::Failed(waits_for_parent()),
        };
        Ok(NewSession { repository, session, secret })
    }
}

fn session_row(session_id: &SessionId, repository_id: &RepositoryId, status: SessionStatus) -> ControlRow {
    ControlRow::Session { session_id: session_id.clone(), repository_id: repository_id.clone(), status }
}

fn step(result: Result<(), SyncError>) -> Step {
    result.map_or_else(Step::Failed, |()| Step::Done)
}

fn waits_for_parent() -> SyncError {
    SyncError::Waiting(Reason { code: "parent".into(), detail: "an earlier step must succeed first".into() })
}
