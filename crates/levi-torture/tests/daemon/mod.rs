//! A daemon with one session, signed in at a fake Supabase, whose disk or network a test can spoil.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levi::{
    DatabaseKey, FileCredentials, HttpOptions, Levi, LeviBuilder, LeviConfig, Receipt, SessionId,
    SqliteSessionStore, Status,
};
use levi_torture::content::{message, secret_of};
use levi_torture::scene::{Scene, credentials, session_id};

/// Longer than anything here takes; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Daemon {
    pub scene: Scene,
    pub session: SessionId,
    store: Arc<SqliteSessionStore>,
    key: DatabaseKey,
}

impl Daemon {
    pub async fn new() -> Self {
        Self::with_sessions(&[]).await
    }

    /// One that has these sessions too.
    pub async fn with_sessions(others: &[SessionId]) -> Self {
        let session = session_id("the one");
        let sessions: Vec<SessionId> = others.iter().chain([&session]).cloned().collect();
        let scene = Scene::new(&sessions).await.unwrap();
        let key = DatabaseKey::from_bytes([7; 32]);
        let store = SqliteSessionStore::open(scene.home().join("store.sqlite"), key.clone()).unwrap();
        for session in &sessions {
            store.save_secret(session, &secret_of(session).unwrap()).unwrap();
        }
        Self { scene, session, store: Arc::new(store), key }
    }

    /// Signed out until `set_context`.
    pub fn signed_out(&self, config: LeviConfig) -> Levi {
        let builder = Levi::builder(self.scene.http(), self.store.clone());
        self.start(builder.config(config).database_key(self.key.clone()))
    }

    pub fn folder(&self) -> PathBuf {
        self.scene.home().join("outbox")
    }

    /// Delays so short that a test need not wait, in a folder of the daemon's own.
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
        self.builder_for(self.scene.http())
    }

    pub fn builder_for(&self, http: HttpOptions) -> LeviBuilder {
        let credentials = FileCredentials::open(credentials(self.scene.home())).unwrap();
        Levi::builder(http, self.store.clone())
            .config(self.config())
            .database_key(self.key.clone())
            .credentials(Arc::new(credentials))
    }

    /// Started, with `builder`'s settings.
    pub fn start(&self, builder: LeviBuilder) -> Levi {
        let levi = builder.build().unwrap();
        levi.start().unwrap();
        levi
    }

    pub async fn enqueue(
        &self,
        levi: &Levi,
        place: i64,
        bytes: usize,
    ) -> Result<Receipt, levi::EnqueueError> {
        levi.enqueue_durable(message(&self.session, place, bytes)).await
    }

    /// The places that the server has, in the order in which they arrived; every one opens to what was sent.
    pub fn delivered(&self) -> Vec<i64> {
        assert_eq!(self.scene.server.order_violations(), []);
        self.scene.delivered(&self.session).unwrap()
    }
}

/// Waits until the server has it.
pub async fn synced(levi: &Levi, receipt: &Receipt) {
    let synced = tokio::time::timeout(PATIENCE, levi.synced(receipt)).await;
    synced.unwrap_or_else(|_| panic!("stuck: {:?}", levi.status())).unwrap();
}

/// Waits until the status is so.
pub async fn until(levi: &Levi, what: impl Fn(&Status) -> bool) -> Status {
    let mut status = levi.watch_status();
    let waited = tokio::time::timeout(PATIENCE, status.wait_for(what)).await;
    waited.unwrap_or_else(|_| panic!("stuck: {:?}", levi.status())).unwrap().clone()
}
