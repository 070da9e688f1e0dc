use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use levi_core::{
    Accounts, DeviceTrust, InvalidConfig, LeviConfig, Opened, SecretsCache, StartError, SystemClock, Worker,
    WorkerParts,
};
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::OutboxStore;
use levi_outbox::sqlite::{DataDir, SqliteOptions, SqliteOutbox, Synchronous};
use levi_transport::{HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, Supabase, TokenKeeper};
use levi_types::{Clock, Credentials, SessionStore};

use crate::Levi;
use crate::accounts::KeptAccount;

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
}

/// Puts a [`Levi`] together where the defaults do not fit.
pub struct LeviBuilder {
    config: LeviConfig,
    http: HttpOptions,
    session_store: Arc<dyn SessionStore>,
    database_key: Option<DatabaseKey>,
    credentials: Option<Arc<dyn Credentials>>,
    outbox: Option<Box<dyn OutboxStore>>,
    synchronous: Synchronous,
    supabase: Option<Arc<dyn Supabase>>,
    accounts: Option<Arc<dyn Accounts>>,
    cache: SecretsCache,
    clock: Arc<dyn Clock>,
    trust: Option<DeviceTrust>,
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
            synchronous: Synchronous::Full,
            supabase: None,
            accounts: None,
            cache: SecretsCache::new(),
            clock: Arc::new(SystemClock::new()),
            trust: None,
        }
    }

    /// How to batch, retry and bound.
    #[must_use]
    pub fn config(mut self, config: LeviConfig) -> Self {
        self.config = config;
        self
    }

    /// What wraps messages and secrets on this device's disk until they can be sealed.
    #[must_use]
    pub fn database_key(mut self, key: DatabaseKey) -> Self {
        self.database_key = Some(key);
        self
    }

    /// Where the sign-in lies. With it, Levi starts signed in and refreshes its token by itself.
    #[must_use]
    pub fn credentials(mut self, credentials: Arc<dyn Credentials>) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Where the account comes from, instead of `credentials`.
    #[must_use]
    pub fn accounts(mut self, accounts: Arc<dyn Accounts>) -> Self {
        self.accounts = Some(accounts);
        self
    }

    /// An outbox other than the SQLite file in the data folder.
    #[must_use]
    pub fn outbox(mut self, outbox: Box<dyn OutboxStore>) -> Self {
        self.outbox = Some(outbox);
        self
    }

    /// When a commit of the default outbox counts as done (default: when the disk has it).
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// A way to the server other than HTTP to the project's address.
    #[must_use]
    pub fn supabase(mut self, supabase: Arc<dyn Supabase>) -> Self {
        self.supabase = Some(supabase);
        self
    }

    /// Session keys, shared with others.
    #[must_use]
    pub fn secrets_cache(mut self, cache: SecretsCache) -> Self {
        self.cache = cache;
        self
    }

    /// Hands session secrets only to devices that `trust` vouches for, for daemons that check public keys out of band.
    /// What is in the outbox from earlier runs is held to it too.
    #[must_use]
    pub fn trust_only(mut self, trust: DeviceTrust) -> Self {
        self.trust = Some(trust);
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
        Ok(self.assemble(Ok(connection)))
    }

    /// As [`build`](Self::build), but a bad address is told by [`Levi::start`].
    pub(crate) fn build_later(mut self) -> Levi {
        let connection = self.connect();
        self.assemble(connection)
    }

    fn connect(&mut self) -> Result<Connection, HttpConfigError> {
        self.http.max_idle_connections = self.http.max_idle_connections.max(self.config.max_in_flight);
        let supabase = match self.supabase.take() {
            Some(supabase) => supabase,
            None => Arc::new(HttpSupabase::new(&self.http)?),
        };
        let accounts = match (self.accounts.take(), self.credentials.take()) {
            (Some(accounts), _) => Some(accounts),
            (None, Some(credentials)) => {
                let sign_in = Arc::new(HttpSignIn::new(&self.http)?);
                Some(Arc::new(KeptAccount(TokenKeeper::new(sign_in, credentials))) as Arc<dyn Accounts>)
            }
            (None, None) => None,
        };
        Ok(Connection { supabase, accounts })
    }

    fn assemble(self, connection: Result<Connection, HttpConfigError>) -> Levi {
        let kept = connection.as_ref().ok().cloned();
        let (outbox, synchronous) = (self.outbox, self.synchronous);
        let folder = DataDir::new(self.config.data_dir.clone());
        let path = folder.outbox_path();
        let beside = outbox.is_none().then(|| path.clone());
        let max_pending_bytes = self.config.max_pending_bytes;
        let open = move || {
            let connection = connection.map_err(|error| StartError::Part(Box::new(error)))?;
            let (outbox, recovered) = match outbox {
                Some(outbox) => (outbox, None),
                None => {
                    // Without the folder the outbox cannot be opened, and says so with the path.
                    let _ = folder.create();
                    let options =
                        SqliteOptions { synchronous, max_pending_bytes, ..SqliteOptions::default() };
                    let (outbox, recovered) = SqliteOutbox::open_or_recover(path, options)?;
                    (Box::new(outbox) as Box<dyn OutboxStore>, recovered)
                }
            };
            let Connection { supabase, accounts } = connection;
            Ok(Opened { outbox, recovered, supabase, accounts })
        };
        let worker = Worker::new(WorkerParts {
            config: self.config,
            open: Box::new(open),
            session_store: Arc::clone(&self.session_store),
            cache: self.cache.clone(),
            database_key: self.database_key,
            clock: Arc::clone(&self.clock),
        });
        Levi {
            worker,
            connection: kept,
            session_store: self.session_store,
            cache: self.cache,
            clock: self.clock,
            outbox_path: beside,
            trust: self.trust,
            session_sync: Mutex::default(),
            listener: Mutex::default(),
        }
    }
}

/// The way to the server and who is signed in there.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) accounts: Option<Arc<dyn Accounts>>,
}

/// The default outbox of these settings.
pub fn outbox_path(config: &LeviConfig) -> PathBuf {
    DataDir::new(config.data_dir.clone()).outbox_path()
}

/// The folder of these settings: `data_dir`, else `levi` in the user's data folder, else in the current one.
pub fn data_dir(config: &LeviConfig) -> PathBuf {
    DataDir::new(config.data_dir.clone()).path().to_owned()
}
