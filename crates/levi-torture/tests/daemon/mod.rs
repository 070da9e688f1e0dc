//! A daemon with one session that is signed in to a fake Supabase. Tests make its disk or its
//! network fail.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levi::{
    DatabaseKey, FileCredentials, HttpOptions, Levi, LeviBuilder, LeviConfig, Receipt, SessionId,
    SessionStore, SqliteSessionStore, Status,
};
use levi_torture::content::{message, secret_of};
use levi_torture::environment::{TestEnvironment, credentials, session_id};

/// A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Daemon {
    pub environment: TestEnvironment,
    pub session: SessionId,
    store: Arc<SqliteSessionStore>,
    key: DatabaseKey,
}

impl Daemon {
    pub async fn new() -> Self {
        Self::with_sessions(&[]).await
    }

    /// A daemon that has these sessions too.
    pub async fn with_sessions(others: &[SessionId]) -> Self {
        let session = session_id("the one");
        let sessions: Vec<SessionId> = others.iter().chain([&session]).cloned().collect();
        let environment = TestEnvironment::new(&sessions).await.unwrap();
        let key = DatabaseKey::from_bytes([7; 32]);
        let store =
            SqliteSessionStore::open(environment.data_dir().join("store.sqlite"), key.clone()).unwrap();
        for session in &sessions {
            store.save_secret(session, &secret_of(session).unwrap()).unwrap();
        }
        Self { environment, session, store: Arc::new(store), key }
    }

    /// A started Levi that is signed out until `set_context`.
    pub fn signed_out(&self, config: LeviConfig) -> Levi {
        let builder = Levi::builder(self.environment.http(), self.store.clone());
        self.start(builder.config(config).database_key(self.key.clone()))
    }

    /// The daemon's own store.
    pub fn store(&self) -> Arc<SqliteSessionStore> {
        Arc::clone(&self.store)
    }

    /// The folder of the outbox.
    pub fn folder(&self) -> PathBuf {
        self.environment.data_dir().join("outbox")
    }

    /// Short delays, and an outbox in the daemon's own folder.
    pub fn config(&self) -> LeviConfig {
        LeviConfig {
            data_dir: Some(self.folder()),
            flush_interval: Duration::from_millis(1),
            backoff_base: Duration::from_millis(2),
            backoff_max: Duration::from_millis(20),
            ..LeviConfig::default()
        }
    }

    pub fn builder(&self) -> LeviBuilder {
        self.builder_for(self.environment.http())
    }

    pub fn builder_for(&self, http: HttpOptions) -> LeviBuilder {
        self.builder_with(http, self.store.clone())
    }

    pub fn builder_with(&self, http: HttpOptions, store: Arc<dyn SessionStore>) -> LeviBuilder {
        Levi::builder(http, store)
            .config(self.config())
            .database_key(self.key.clone())
            .credentials(self.credentials())
    }

    pub fn credentials(&self) -> Arc<FileCredentials> {
        Arc::new(FileCredentials::open(credentials(self.environment.data_dir())).unwrap())
    }

    /// Builds and starts a Levi.
    pub fn start(&self, builder: LeviBuilder) -> Levi {
        let levi = builder.build().unwrap();
        levi.start().unwrap();
        levi
    }

    pub async fn enqueue(
        &self,
        levi: &Levi,
        sequence_number: i64,
        bytes: usize,
    ) -> Result<Receipt, levi::EnqueueError> {
        levi.enqueue_durable(message(&self.session, sequence_number, bytes)).await
    }

    /// The sequence numbers on the server in order of arrival, after checking that each message
    /// decrypts to what was sent.
    pub fn delivered(&self) -> Vec<i64> {
        assert_eq!(self.environment.server.order_violations(), []);
        self.environment.delivered(&self.session).unwrap()
    }
}

/// Waits until the server has the message.
pub async fn synced(levi: &Levi, receipt: &Receipt) {
    let synced = tokio::time::timeout(PATIENCE, levi.synced(receipt)).await;
    synced.unwrap_or_else(|_| panic!("stuck: {:?}", levi.status())).unwrap();
}

/// Waits until the condition holds for the status.
pub async fn until(levi: &Levi, condition: impl Fn(&Status) -> bool) -> Status {
    let mut status = levi.watch_status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(condition)).await;
    waited.unwrap_or_else(|_| panic!("stuck: {:?}", levi.status())).unwrap().clone()
}
