use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_core::{
    DeviceTrust, EnqueueError, LeviConfig, MessageSyncer, Reader, Receipt, SecretsCache, SessionSyncService,
    ShutdownReport, StartError, Status, SyncedError, Worker,
};
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_outbox::sqlite::notify::Listener;
use levi_transport::HttpOptions;
use levi_types::{Clock, DeviceId, MessageSyncRequest, SessionId, SessionStore, SyncContext};
use tokio::sync::watch;

use crate::builder::{Connection, LeviBuilder};

/// The message sync worker with its defaults wired together: messages in, ciphertext in Supabase.
pub struct Levi {
    // Before the worker, so that it is dropped while the outbox is still this Levi's.
    pub(crate) listener: Mutex<Option<Listener>>,
    pub(crate) worker: Worker,
    pub(crate) connection: Option<Connection>,
    pub(crate) session_store: Arc<dyn SessionStore>,
    pub(crate) cache: SecretsCache,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where the default outbox lies; `None` for one of the daemon's own making.
    pub(crate) outbox_path: Option<PathBuf>,
    pub(crate) trust: Option<DeviceTrust>,
    /// One for all who ask: what is recorded is run by one, and its callers are told by it.
    pub(crate) session_sync: Mutex<Option<SessionSyncService>>,
}

/// Why there is no session sync or reader to be had from this Levi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotConnected {
    /// The project's address or key cannot be used; `start` says why.
    #[error("the project's address or key cannot be used; start() says why")]
    BadAddress,
    /// It was built without `credentials` or `accounts`.
    #[error("this Levi knows no account; build it with credentials(..) or accounts(..)")]
    NoAccount,
    /// Session sync runs for another device here already.
    #[error("session sync runs for another device in this Levi; build a Levi for each device")]
    OtherDevice,
}

impl Levi {
    /// A worker with the default outbox, for the project at `api_url`.
    ///
    /// Opens nothing: what is wrong with the settings is told by [`start`](Self::start).
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

    /// For everything `new` decides by itself.
    pub fn builder(http: HttpOptions, store: Arc<dyn SessionStore>) -> LeviBuilder {
        LeviBuilder::new(http, store)
    }

    /// Opens the outbox and starts the worker. Must be called where tokio runs.
    ///
    /// # Errors
    /// [`StartError`], which says what to do.
    pub fn start(&self) -> Result<(), StartError> {
        // Locked meanwhile, so that a concurrent shutdown finds the listener and drops it.
        let mut listener = self.listener();
        self.worker.start()?;
        if let Some(path) = &self.outbox_path {
            match Listener::bind(path, self.worker.on_written_elsewhere()) {
                Ok(bound) => *listener = Some(bound),
                Err(error) => tracing::info!("no wake-up socket beside the outbox: {error}"),
            }
        }
        Ok(())
    }

    fn listener(&self) -> MutexGuard<'_, Option<Listener>> {
        // A panic cannot leave it half changed, because every change is one assignment.
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the token of the signed-in user. Sending begins, or goes on with it.
    pub async fn set_context(&self, context: SyncContext) {
        self.worker.set_context(context);
    }

    /// Takes the token away, on sign-out. At most the requests already under way still go through.
    pub async fn clear_context(&self) {
        self.worker.clear_context();
    }

    /// Hands a message over. See [`Worker::enqueue`].
    ///
    /// # Errors
    /// [`EnqueueError`]; the message was not taken.
    pub fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        self.worker.enqueue(request)
    }

    /// Hands a message over and returns once it is on disk. See [`Worker::enqueue_durable`].
    ///
    /// # Errors
    /// [`EnqueueError`]; the message is not on disk.
    pub async fn enqueue_durable(&self, request: MessageSyncRequest) -> Result<Receipt, EnqueueError> {
        self.worker.enqueue_durable(request).await
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

    /// What Levi is doing now. It follows what is done by a moment: whom [`enqueue_durable`](Self::enqueue_durable) has just
    /// told may find the counts still without its message. To wait for a message use [`synced`](Self::synced), to wait for a
    /// count [`watch_status`](Self::watch_status).
    pub fn status(&self) -> Status {
        self.worker.status()
    }

    /// Tells whenever the status changes.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.worker.watch_status()
    }

    /// Stops intake, sends what can be sent until `deadline` is over, and says what stays.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        drop(self.listener().take());
        self.worker.shutdown(deadline).await
    }

    /// Session sync for this device: its rows are stored in this Levi's outbox, and Levi retries what fails. Every call
    /// returns the same service, with the trust that the builder was given.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn session_sync(
        &self,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
    ) -> Result<SessionSyncService, NotConnected> {
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let accounts = connection.accounts.clone().ok_or(NotConnected::NoAccount)?;
        let mut kept = self.session_sync.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(service) = kept.as_ref() {
            return if *service.device_id() == device_id {
                Ok(service.clone())
            } else {
                Err(NotConnected::OtherDevice)
            };
        }
        let service = SessionSyncService::with_parts(
            Arc::clone(&connection.supabase),
            Arc::clone(&self.session_store),
            accounts,
            device_id,
            device_private_key,
            self.cache.clone(),
        );
        let service = match &self.trust {
            Some(trust) => service.with_trust(Arc::clone(trust)),
            None => service,
        };
        // Last, because rows of an earlier run are sent from now on.
        let service = service.with_clock(Arc::clone(&self.clock)).with_outbox(self.worker.control_queue());
        Ok(kept.insert(service).clone())
    }

    /// The receiving side, for this device.
    ///
    /// # Errors
    /// [`NotConnected`].
    pub fn reader(
        &self,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
    ) -> Result<Reader, NotConnected> {
        let connection = self.connection.as_ref().ok_or(NotConnected::BadAddress)?;
        let accounts = connection.accounts.clone().ok_or(NotConnected::NoAccount)?;
        let supabase = Arc::clone(&connection.supabase);
        Ok(Reader::new(supabase, accounts, device_id, device_private_key, self.cache.clone()))
    }
}

impl MessageSyncer for Levi {
    fn enqueue(&self, request: MessageSyncRequest) -> Result<(), EnqueueError> {
        self.worker.enqueue(request)
    }
}
