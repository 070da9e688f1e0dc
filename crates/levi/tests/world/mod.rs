//! A user with devices on a fake Supabase: what every end-to-end test starts from.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of the world")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use levi::types::{AuthError, AuthSession};
use levi::{
    Auth, CodingSession, DatabaseKey, DeviceId, DevicePrivateKey, HttpOptions, Levi, LeviConfig,
    MessageSyncRequest, Reader, RepositoryId, SecretsCache, SessionId, SessionSecret, SqliteSessionStore,
    UserId,
};
use levi_testkit::clock::SystemClock;
use levi_testkit::fixtures::{self, TestUser, uuid_of};
use levi_testkit::supabase::FakeSupabase;
use levi_types::{AccessToken, Clock, Now};

pub const EMAIL: &str = TestUser::EMAIL;
pub const PASSWORD: &str = TestUser::PASSWORD;
/// Where the repository of every fixture is.
pub const PATH: &str = "/home/ada/projects/levi";

/// The sign-in of a user; `refresh` signs in anew and counts how often.
pub struct TestAuth {
    server: Arc<FakeSupabase>,
    user_id: Mutex<UserId>,
    /// Whose sign-in the next refresh finds.
    next_user: Mutex<UserId>,
    token: Mutex<AccessToken>,
    pub refreshes: Mutex<u32>,
}

impl TestAuth {
    pub fn token(&self) -> AccessToken {
        self.token.lock().unwrap().clone()
    }

    /// The next refresh finds the sign-in of `user`, which somebody stored.
    pub fn refresh_brings(&self, user: &UserId) {
        *self.next_user.lock().unwrap() = user.clone();
    }
}

#[async_trait]
impl Auth for TestAuth {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(AuthSession { user_id: self.user_id.lock().unwrap().clone(), access_token: self.token() })
    }

    async fn refresh(&self, _stale: &AccessToken) -> Result<AuthSession, AuthError> {
        *self.refreshes.lock().unwrap() += 1;
        let user = self.next_user.lock().unwrap().clone();
        let tokens = self.server.sign_in(&user).ok_or(AuthError::SignedOut)?;
        *self.user_id.lock().unwrap() = user;
        *self.token.lock().unwrap() = tokens.access_token;
        self.session().await
    }
}

/// The machine's clocks, and some time that a test lets pass at once.
#[derive(Default)]
pub struct LaterClock {
    machine: SystemClock,
    passed: Mutex<Duration>,
}

impl LaterClock {
    pub fn pass(&self, time: Duration) {
        *self.passed.lock().unwrap() += time;
    }
}

impl Clock for LaterClock {
    fn now(&self) -> Now {
        let (now, passed) = (self.machine.now(), *self.passed.lock().unwrap());
        Now { monotonic: now.monotonic.after(passed), wall: now.wall.after(passed) }
    }
}

pub struct World {
    user: TestUser,
    pub server: Arc<FakeSupabase>,
    pub user_id: UserId,
    pub auth: Arc<TestAuth>,
    pub devices: Vec<(DeviceId, [u8; 32])>,
    pub repository: RepositoryId,
    pub folder: tempfile::TempDir,
}

impl World {
    /// A server, a user, and `devices` registered devices.
    pub async fn new(devices: usize) -> Self {
        Self::on(FakeSupabase::start().unwrap(), devices).await
    }

    /// As `new`, on a server with other settings.
    pub async fn on(server: FakeSupabase, devices: usize) -> Self {
        let user = TestUser::on(server).unwrap();
        let (server, user_id) = (Arc::clone(&user.server), user.id.clone());
        let token = server.sign_in(&user_id).unwrap().access_token;
        let auth = Arc::new(TestAuth {
            server: Arc::clone(&server),
            user_id: Mutex::new(user_id.clone()),
            next_user: Mutex::new(user_id.clone()),
            token: Mutex::new(token),
            refreshes: Mutex::new(0),
        });
        let mut world = Self {
            user,
            server,
            user_id,
            auth,
            devices: Vec::new(),
            repository: fixtures::repository().id,
            folder: tempfile::tempdir().unwrap(),
        };
        for number in 0..devices {
            world.register(number).await;
        }
        world
    }

    /// Registers a device, as a daemon does at its first sign-in.
    pub async fn register(&mut self, number: usize) -> DeviceId {
        let id: DeviceId = uuid_of("device", &number.to_string()).as_str().into();
        let key = DevicePrivateKey::generate(&mut rand::rng());
        self.register_with(&id, Some(key.public_key().to_base64())).await;
        self.devices.push((id.clone(), *key.expose_bytes()));
        id
    }

    pub async fn register_with(&self, id: &DeviceId, public_key: Option<String>) {
        self.user.add_device(id, public_key).unwrap();
    }

    pub fn supabase(&self) -> levi::HttpSupabase {
        levi::HttpSupabase::new(&self.http()).unwrap()
    }

    pub fn http(&self) -> HttpOptions {
        HttpOptions::new(self.server.url(), self.server.publishable_key())
    }

    /// The session store of the first device, with the repository in it.
    pub fn store(&self, key: &DatabaseKey) -> Arc<SqliteSessionStore> {
        let store = SqliteSessionStore::open(self.path("store.sqlite"), key.clone()).unwrap();
        store.save_repository(&fixtures::repository()).unwrap();
        Arc::new(store)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn outbox_path(&self) -> std::path::PathBuf {
        levi::outbox::sqlite::DataDir::new(Some(self.folder.path().to_owned())).outbox_path()
    }

    pub fn config(&self) -> LeviConfig {
        LeviConfig {
            data_dir: Some(self.folder.path().to_path_buf()),
            flush_interval: std::time::Duration::from_millis(10),
            backoff_base: std::time::Duration::from_millis(20),
            backoff_max: std::time::Duration::from_millis(200),
            ..LeviConfig::default()
        }
    }

    /// A Levi on the first device, started and signed in.
    pub fn levi(&self, config: LeviConfig, store: Arc<SqliteSessionStore>, key: &DatabaseKey) -> Levi {
        let levi = Levi::builder(self.http(), store)
            .config(config)
            .database_key(key.clone())
            .auth(self.auth.clone())
            .build()
            .unwrap();
        levi.start().unwrap();
        levi
    }

    pub fn session(&self, name: &str) -> CodingSession {
        let id = uuid_of("session", name).as_str().into();
        CodingSession {
            title: Some(format!("session {name}")),
            ..fixtures::coding_session(id, self.repository.clone())
        }
    }

    pub fn reader(&self, device: usize) -> Reader {
        let (id, key) = &self.devices[device];
        let supabase = Arc::new(self.supabase());
        let key = DevicePrivateKey::from_bytes(*key);
        Reader::new(supabase, self.auth.clone(), id.clone(), key, SecretsCache::new())
    }

    pub fn device_key(&self, device: usize) -> (DeviceId, DevicePrivateKey) {
        let (id, key) = &self.devices[device];
        (id.clone(), DevicePrivateKey::from_bytes(*key))
    }
}

pub fn request(session: &SessionId, sequence_number: i64, content: &str) -> MessageSyncRequest {
    MessageSyncRequest {
        message_id: format!("message-{sequence_number}").as_str().into(),
        session_id: session.clone(),
        sequence_number,
        content: content.into(),
    }
}

pub fn secret() -> SessionSecret {
    SessionSecret::generate(&mut rand::rng())
}

pub fn database_key() -> DatabaseKey {
    DatabaseKey::generate(&mut rand::rng())
}

/// Everything of a session, as a device reads it.
pub async fn read_all(reader: &Reader, session: &SessionId) -> Vec<(i64, String)> {
    let (mut messages, mut after) = (Vec::new(), None);
    loop {
        let page = reader.pull(session, after, 500).await.unwrap();
        messages.extend(page.messages.into_iter().map(|message| {
            let message = message.unwrap();
            (message.sequence_number, message.content)
        }));
        if page.cursor.is_none() {
            return messages;
        }
        after = page.cursor;
    }
}
