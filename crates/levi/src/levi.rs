use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[cfg(feature = "sqlite")]
use levi_core::LeviConfig;
use levi_core::{
    BackfillReport, DeviceListAdmin, DeviceTrust, EnqueueError, MessageSyncer, OnReadRetry, Reader, Receipt,
    SecretsCache, SessionSyncService, ShutdownReport, SignedDeviceList, StartError, Status, SyncError,
    SyncedError, Worker,
};
#[cfg(feature = "sqlite")]
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::recovery::RecoveryKey;
use levi_outbox::backoff::Backoff;
use levi_transport::HttpOptions;
use levi_types::{Clock, DeviceId, MessageSyncRequest, SessionId, SessionStore, SyncContext, UserId};
use tokio::sync::watch;

use crate::append::Appended;
use crate::builder::{Connection, LeviBuilder};
#[cfg(feature = "sqlite")]
use crate::wake_up::WakeUp;

/// The message sync worker with its defaults wired together: messages in, ciphertext in Supabase.
pub struct Levi {
    // Before the worker, so that it is dropped while the outbox is still this Levi's.
    #[cfg(feature = "sqlite")]
    pub(crate) wake_up: WakeUp,
    pub(crate) worker: Worker,
    pub(crate) connection: Option<Connection>,
    pub(crate) session_store: Arc<dyn SessionStore>,
    pub(crate) cache: SecretsCache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trust: Option<DeviceTrust>,
    pub(crate) device_list: Option<SignedDeviceList>,
    pub(crate) on_read_retry: Option<OnReadRetry>,
    pub(crate) backoff: Backoff,
    /// The service that sends a user's control rows; every caller gets a clone.
    pub(crate) session_sync: Mutex<Vec<SessionSyncService>>,
    pub(crate) appended: Appended,
}

/// Why this Levi has no session sync and no reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotConnected {
    /// The project's address or key cannot be used; `start` says why.
    #[error("the project's address or key cannot be used; start() says why")]
    BadAddress,
    /// It was built without `credentials` or `auth`.
    #[error("this Levi has no sign-in to use; build it with credentials(..) or auth(..)")]
    NoAuth,
    /// It was built without a signed device list.
    #[error("this Levi uses no signed device list; build it with device_list(..)")]
    NoDeviceList,
    /// Session sync runs for another device of the user here already.
    #[error("session sync runs for another device in this Levi; build a Levi for each device")]
    OtherDevice,
    /// The device's id is not a uuid in the server's spelling.
    #[error(
        "the device's id is not a uuid as the server writes it: 36 characters, lower case, such as \
         8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03"
    )]
    NotAUuid,
}

/// How often a read is tried again after a passing failure, with the delays of `LeviConfig`.
const READ_RETRIES: u32 = 4;

impl Levi {
    /// A worker with the default outbox, for the project at `api_url`.
    ///
    /// Opens nothing: [`start`](Self::start) reports what is wrong with the settings.
    #[cfg(feature = "sqlite")]
    pub fn new(
        config: LeviConfig,
        api_url: impl Into<String>,
        anon_key: impl Into<String>,
        store: Arc<dyn SessionStore>,
        db_key: DatabaseKey,
    ) -> Self {
        let builder = Self::builder(HttpOptions::new(api_url, anon_key), store);
        builder.config(config).database_key(db_key).build_later()
    }

    /// A builder, for everything that `new` decides by itself.
    pub fn builder(http: HttpOptions, store: Arc<dyn SessionStore>) -> LeviBuilder {
        LeviBuilder::new(http, store)
    }

    /// Opens the outbox and starts the worker. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn start(&self) -> Result<(), StartError> {
        #[cfg(feature = "sqlite")]
        let listening = self.wake_up.lock();
        self.worker.start()?;
        #[cfg(feature = "sqlite")]
        listening.bind(self.worker.on_written_elsewhere());
        Ok(())
    }

    /// Sets the token of the signed-in user. Sending begins, or goes on with it. See [`Worker::set_context`].
    pub async fn set_context(&self, context: SyncContext) {
        self.worker.set_context(context);
    }

    /// Removes the token and the session keys in memory, on sign-out. See [`Worker::clear_context`].
    pub async fn clear_context(&self) {
        self.worker.clear_context();
    }

    /// Enqueues a message. See [`Worker::enqueue`].
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not enqueued.
    pub fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        self.worker.enqueue(request)
    }

    /// Enqueues a message and returns once it is on disk. See [`Worker::enqueue_durable`].
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn enqueue_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        self.worker.enqueue_durable(request).await
    }

    /// Enqueues a message that replaces whatever text the server has at its place. See [`Worker::replace_durable`].
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn replace_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        self.worker.replace_durable(request).await
    }

    /// The highest sequence number of a session that is known here. See [`Worker::last_sequence_number`].
    ///
    /// # Errors
    /// [`EnqueueError`] if the outbox cannot be read.
    pub async fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, EnqueueError> {
        self.worker.last_sequence_number(session).await
    }

    /// Returns once Supabase has the message. See [`Worker::synced`].
    ///
    /// # Errors
    /// [`SyncedError`].
    pub async fn synced(&self, receipt: &Receipt) -> Result<(), SyncedError> {
        self.worker.synced(receipt).await
    }

    /// The network may be back: try now.
    pub fn network_changed(&self) {
        self.worker.network_changed();
    }

    /// A session's secret is in the session store now.
    pub fn secret_arrived(&self, session: &SessionId) {
        self.worker.secret_arrived(session);
    }

    /// Rows were written to the outbox inside a transaction of the daemon's own.
    pub fn written_elsewhere(&self) {
        self.worker.written_elsewhere();
    }

    /// What Levi is doing now. Eventually consistent: right after [`enqueue_durable`](Self::enqueue_durable) returns, the
    /// counts may not include that message yet. To wait for a message use [`synced`](Self::synced), to wait for a count
    /// [`watch_status`](Self::watch_status).
    pub fn status(&self) -> Status {
        self.worker.status()
    }

    /// Receives every change of the status.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.worker.watch_status()
    }

    /// Stops intake, sends what can be sent within `deadline`, and returns what remains in the outbox. Requests that are
    /// in flight then are cancelled, and keep neither the runtime nor the process waiting.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        #[cfg(feature = "sqlite")]
        self.wake_up.close();
        self.worker.shutdown(deadline).await
    }

    /// Session sync for this device: its rows are stored in this Levi's outbox, and Levi retries what fails. Every call
    /// for one user returns the same service, with the trust that the builder was given.
    ///
    /// It acts for the user who is signed in or, before anybody is, for the first who signs in, and for no other: after
    /// another user signed in, call it again with that user's device. Until then that user's repositories, sessions and
    /// secrets wait in the outbox (`status().waiting`).
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn session_sync(
        &self,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
    ) -> Result<SessionSyncService, NotConnected> {
        device_id.check().map_err(|_| NotConnected::NotAUuid)?;
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let auth = connection.auth.clone().ok_or(NotConnected::NoAuth)?;
        let mut kept = self.session_sync.lock().unwrap_or_else(PoisonError::into_inner);
        let user = self.cache.user();
        if let Some(known) = kept.iter().find(|known| is_for(known, user.as_ref())) {
            let is_same = *known.device_id() == device_id;
            return if is_same { Ok(known.clone()) } else { Err(NotConnected::OtherDevice) };
        }
        let service = SessionSyncService::with_parts(
            Arc::clone(&connection.supabase),
            Arc::clone(&self.session_store),
            auth,
            device_id,
            device_private_key,
            self.cache.clone(),
        );
        let service = match &self.trust {
            Some(trust) => service.with_trust(Arc::clone(trust)),
            None => service,
        };
        let service = match self.device_list_of(service.device_id())? {
            Some(list) => service.with_device_list(list),
            None => service,
        };
        let service = match &self.on_read_retry {
            Some(tell) => service.on_read_retry(Arc::clone(tell)),
            None => service,
        };
        // Last, because rows of an earlier run are sent from now on.
        let service = service.with_clock(Arc::clone(&self.clock)).with_outbox(self.worker.control_queue());
        kept.push(service.clone());
        Ok(service)
    }

    /// A reader of the sessions that were shared with this device, for the user who is signed in. It reads nothing once
    /// another user is.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn reader(
        &self,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
    ) -> Result<Reader, NotConnected> {
        device_id.check().map_err(|_| NotConnected::NotAUuid)?;
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let auth = connection.auth.clone().ok_or(NotConnected::NoAuth)?;
        let supabase = Arc::clone(&connection.supabase);
        let device_list = self.device_list_of(&device_id)?;
        let reader = Reader::new(supabase, auth, device_id, device_private_key, self.cache.clone())
            .with_store(Arc::clone(&self.session_store))
            .with_retries(self.backoff, READ_RETRIES)
            .with_clock(Arc::clone(&self.clock));
        let reader = match &self.on_read_retry {
            Some(tell) => reader.on_read_retry(Arc::clone(tell)),
            None => reader,
        };
        let reader = match &self.trust {
            Some(trust) => reader.with_trust(Arc::clone(trust)),
            None => reader,
        };
        Ok(match device_list {
            Some(list) => reader.with_device_list(list),
            None => reader,
        })
    }

    /// Supabase Realtime, for one follower: `reader.follow(cursor).with_notifier(levi.realtime()?)`. The follower falls back to
    /// polling by itself, and its status says why.
    ///
    /// # Errors
    /// [`NotConnected`].
    #[cfg(feature = "realtime")]
    pub fn realtime(&self) -> Result<Arc<levi_realtime::Realtime>, NotConnected> {
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let auth = connection.auth.clone().ok_or(NotConnected::NoAuth)?;
        let realtime = levi_realtime::Realtime::new(&connection.http, auth);
        Ok(Arc::new(realtime.map_err(|_| NotConnected::BadAddress)?))
    }

    /// Changes the signed device list of the user who is signed in.
    ///
    /// # Errors
    /// [`NotConnected::NoDeviceList`] if this Levi was built without one.
    pub fn device_list(&self) -> Result<DeviceListAdmin, NotConnected> {
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let auth = connection.auth.clone().ok_or(NotConnected::NoAuth)?;
        let list = self.device_list.clone().ok_or(NotConnected::NoDeviceList)?;
        Ok(DeviceListAdmin::new(Arc::clone(&connection.supabase), auth, list, Arc::clone(&self.clock)))
    }

    /// After [`DeviceListAdmin::recover`]: shares every session that the recovery key can read with this device.
    ///
    /// # Errors
    /// [`SyncError`]
    pub async fn share_as_recovery_key(
        &self,
        recovery: &DeviceId,
        key: &RecoveryKey,
    ) -> Result<BackfillReport, SyncError> {
        let connection = self.connection.as_ref().ok_or(SyncError::NotAuthenticated)?;
        let auth = connection.auth.clone().ok_or(SyncError::NotAuthenticated)?;
        let list = self.device_list.clone().ok_or(SyncError::NoDeviceIdentity)?;
        let this_device = list.device_id().clone();
        let service = SessionSyncService::with_parts(
            Arc::clone(&connection.supabase),
            Arc::clone(&self.session_store),
            auth,
            recovery.clone(),
            key.member_keys().envelope,
            self.cache.clone(),
        );
        service.with_device_list(list).share_with_device(&this_device).await
    }

    /// The signed device list, which is one device's.
    fn device_list_of(&self, device: &DeviceId) -> Result<Option<SignedDeviceList>, NotConnected> {
        match &self.device_list {
            Some(list) if list.device_id() != device => Err(NotConnected::OtherDevice),
            list => Ok(list.clone()),
        }
    }
}

/// Whether the service acts for `user`, or may come to.
fn is_for(service: &SessionSyncService, user: Option<&UserId>) -> bool {
    service.user().is_none_or(|known| user.is_none_or(|user| user == known))
}

impl MessageSyncer for Levi {
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        self.worker.enqueue(request)
    }
}
