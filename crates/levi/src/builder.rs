use std::sync::{Arc, Mutex};

use levi_core::{
    DeviceListParts, DeviceTrust, InvalidConfig, LeviConfig, OnReadRetry, Opened, SecretsCache,
    SignedDeviceList, StartError, SystemClock, Worker, WorkerParts,
};
use levi_crypto::at_rest::DatabaseKey;
use levi_devices::MemberKeys;
use levi_outbox::OutboxStore;
#[cfg(feature = "sqlite")]
use levi_outbox::sqlite::{DataDir, SqliteOptions, Synchronous};
use levi_transport::{HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, RefreshingAuth, Supabase};
use levi_types::{Auth, Clock, Credentials, DeviceId, DeviceListStore, SessionStore};

use crate::Levi;
use crate::append::Appended;
use crate::outbox_choice::{OpenOutbox, OutboxChoice};
#[cfg(feature = "sqlite")]
use crate::wake_up::WakeUp;

/// Why a Levi cannot be built from what it was given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The project's address or key cannot be used.
    #[error(transparent)]
    Http(#[from] HttpConfigError),
    /// A setting cannot work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The default outbox needs the feature `sqlite`, which is switched off.
    #[error("no outbox was given; pass one to outbox(..), or switch on levi's feature `sqlite`")]
    NoOutbox,
}

/// Builds a [`Levi`] where the defaults do not fit.
pub struct LeviBuilder {
    config: LeviConfig,
    http: HttpOptions,
    session_store: Arc<dyn SessionStore>,
    database_key: Option<DatabaseKey>,
    credentials: Option<Arc<dyn Credentials>>,
    outbox: Option<Box<dyn OutboxStore>>,
    #[cfg(feature = "sqlite")]
    synchronous: Synchronous,
    supabase: Option<Arc<dyn Supabase>>,
    auth: Option<Arc<dyn Auth>>,
    cache: SecretsCache,
    clock: Arc<dyn Clock>,
    trust: Option<DeviceTrust>,
    on_read_retry: Option<OnReadRetry>,
    device: Option<ListedDevice>,
    shared_list: Option<SignedDeviceList>,
}

/// This device, for its user's signed list.
struct ListedDevice {
    id: DeviceId,
    keys: MemberKeys,
    store: Arc<dyn DeviceListStore>,
}

impl LeviBuilder {
    pub(crate) fn new(http: HttpOptions, session_store: Arc<dyn SessionStore>) -> Self {
        Self {
            config: LeviConfig::default(),
            http,
            session_store,
            database_key: None,
            credentials: None,
            outbox: None,
            #[cfg(feature = "sqlite")]
            synchronous: Synchronous::Full,
            supabase: None,
            auth: None,
            cache: SecretsCache::new(),
            clock: Arc::new(SystemClock::new()),
            trust: None,
            device: None,
            shared_list: None,
            on_read_retry: None,
        }
    }

    /// The batching, retry and size settings.
    #[must_use]
    pub fn config(mut self, config: LeviConfig) -> Self {
        self.config = config;
        self
    }

    /// The key that encrypts messages and secrets on this device's disk until they can be sealed.
    #[must_use]
    pub fn database_key(mut self, key: DatabaseKey) -> Self {
        self.database_key = Some(key);
        self
    }

    /// The store that has the sign-in. With it, Levi starts signed in and refreshes its token by itself.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The source of tokens, instead of `credentials`.
    #[must_use]
    pub fn auth(mut self, auth: Arc<dyn Auth>) -> Self {
        self.auth = Some(auth);
        self
    }

    /// An outbox other than the SQLite file in the data folder.
    #[must_use]
    pub fn outbox(mut self, outbox: Box<dyn OutboxStore>) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// When a commit of the default outbox counts as done (default: when the disk has it).
    #[cfg(feature = "sqlite")]
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// A connection to the server other than HTTP to the project's address.
    #[must_use]
    pub fn supabase(mut self, supabase: Arc<dyn Supabase>) -> Self {
        self.supabase = Some(supabase);
        self
    }

    /// A cache of session keys that is shared with other services, such as a `SessionSyncService` of the daemon's own.
    #[must_use]
    pub fn secrets_cache(mut self, cache: SecretsCache) -> Self {
        self.cache = cache;
        self
    }

    /// Sends session secrets only to devices that `trust` accepts, and reads only what they sealed, for daemons
    /// that check public keys out of band. This includes secrets that are in the outbox from earlier runs.
    #[must_use]
    pub fn trust_only(mut self, trust: DeviceTrust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Uses the user's signed device list, as this device: secrets are given to the devices on it and to nobody else, and
    /// messages are sealed for them (version 2). `store` remembers the list. For a user who has no list, this
    /// changes nothing.
    ///
    /// Without it, every active row of the table `devices` is given the secrets of sessions. So anyone who holds the
    /// user's token can add a device, and read later sessions.
    #[must_use]
    pub fn device_list(mut self, id: DeviceId, keys: MemberKeys, store: Arc<dyn DeviceListStore>) -> Self {
        self.device = Some(ListedDevice { id, keys, store });
        self
    }

    /// Tells `tell` of each read of a reader or of session sync that is tried again. What the worker tries again is in
    /// its status.
    #[must_use]
    pub fn on_read_retry(mut self, tell: OnReadRetry) -> Self {
        self.on_read_retry = Some(tell);
        self
    }

    /// As [`device_list`](Self::device_list), with a list that others use too. It must have this builder's
    /// [`secrets_cache`](Self::secrets_cache).
    #[must_use]
    pub fn shared_device_list(mut self, list: SignedDeviceList) -> Self {
        self.shared_list = Some(list);
        self
    }

    /// Clocks other than the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks what was given. Nothing is opened and nothing is sent before [`Levi::start`].
    ///
    /// # Errors
    /// [`BuildError`], which says what to change.
    pub fn build(mut self) -> Result<Levi, BuildError> {
        self.config.check()?;
        let connection = self.connect()?;
        let outbox = self.choose_outbox().ok_or(BuildError::NoOutbox)?;
        Ok(self.assemble(Ok(connection), outbox))
    }

    /// As [`build`](Self::build), but [`Levi::start`] reports what is wrong with the settings.
    #[cfg(feature = "sqlite")]
    pub(crate) fn build_later(mut self) -> Levi {
        let connection = self.connect();
        let outbox = self.file();
        self.assemble(connection, outbox)
    }

    fn connect(&mut self) -> Result<Connection, HttpConfigError> {
        self.http.max_idle_connections = self.http.max_idle_connections.max(self.config.max_in_flight);
        let supabase = match self.supabase.take() {
            Some(supabase) => supabase,
            None => Arc::new(HttpSupabase::new(&self.http)?),
        };
        let auth = match (self.auth.take(), self.credentials.take()) {
            (Some(auth), _) => Some(auth),
            (None, Some(credentials)) => {
                let sign_in = Arc::new(HttpSignIn::new(&self.http)?);
                let (clock, longest) = (Arc::clone(&self.clock), self.config.longest_delay());
                let auth = RefreshingAuth::with_pace(sign_in, credentials, clock, longest);
                Some(Arc::new(auth) as Arc<dyn Auth>)
            }
            (None, None) => None,
        };
        Ok(Connection {
            supabase,
            auth,
            #[cfg(feature = "realtime")]
            http: self.http.clone(),
        })
    }

    #[cfg(feature = "sqlite")]
    fn choose_outbox(&mut self) -> Option<OutboxChoice> {
        let given = self.outbox.take().map(OutboxChoice::Given);
        Some(given.unwrap_or_else(|| self.file()))
    }

    #[cfg(not(feature = "sqlite"))]
    fn choose_outbox(&mut self) -> Option<OutboxChoice> {
        self.outbox.take().map(OutboxChoice::Given)
    }

    #[cfg(feature = "sqlite")]
    fn file(&self) -> OutboxChoice {
        let (synchronous, max_pending_bytes) = (self.synchronous, self.config.max_pending_bytes);
        OutboxChoice::File {
            data_dir: DataDir::new(self.config.data_dir.clone()),
            options: SqliteOptions { synchronous, max_pending_bytes, ..SqliteOptions::default() },
        }
    }

    fn assemble(self, connection: Result<Connection, HttpConfigError>, outbox: OutboxChoice) -> Levi {
        let kept = connection.as_ref().ok().cloned();
        #[cfg(feature = "sqlite")]
        let outbox_path = outbox.path();
        let open = move || {
            let Connection { supabase, auth, .. } =
                connection.map_err(|error| StartError::Part(Box::new(error)))?;
            let OpenOutbox { store, recovered } = outbox.open()?;
            Ok(Opened { outbox: store, recovered, supabase, auth })
        };
        let backoff = self.config.backoff();
        let own_list = self.device.map(|ListedDevice { id, keys, store }| {
            SignedDeviceList::new(DeviceListParts {
                device_id: id,
                keys,
                store,
                database_key: self.database_key.clone(),
                cache: self.cache.clone(),
            })
        });
        let device_list = self.shared_list.or(own_list);
        let worker = Worker::new(WorkerParts {
            config: self.config,
            open: Box::new(open),
            session_store: Arc::clone(&self.session_store),
            cache: self.cache.clone(),
            database_key: self.database_key,
            clock: Arc::clone(&self.clock),
            device_list: device_list.clone(),
        });
        Levi {
            worker,
            connection: kept,
            session_store: self.session_store,
            cache: self.cache,
            clock: self.clock,
            trust: self.trust,
            device_list,
            on_read_retry: self.on_read_retry,
            backoff,
            session_sync: Mutex::default(),
            appended: Appended::default(),
            #[cfg(feature = "sqlite")]
            wake_up: WakeUp::new(outbox_path),
        }
    }
}

/// The connection to the server, and who is signed in there.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) auth: Option<Arc<dyn Auth>>,
    #[cfg(feature = "realtime")]
    pub(crate) http: HttpOptions,
}
