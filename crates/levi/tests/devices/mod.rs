//! The devices of one user who keep a signed list, each with a folder and a connection of its own.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use levi::core::{DeviceListAdmin, OtherDevices};
use levi::devices::MemberKeys;
use levi::devices::pairing::PairingCode;
use levi::devices::recovery::RecoveryKey;
use levi::transport::Supabase;
use levi::{
    Auth, CodingSession, DatabaseKey, DeviceId, DeviceListState, Levi, LeviConfig, Reader,
    SessionSyncService, SqliteSessionStore,
};
use levi_testkit::clock::SystemClock;
use levi_testkit::fixtures::{self, TestUser, uuid_of};
use levi_testkit::supabase::RewritingSupabase;
use levi_types::{Clock, Now, Wall};

use crate::world::{World, request, secret};

/// How long a test waits for another device.
const WITHIN: Duration = Duration::from_secs(20);

/// The system's clocks, and how long the machine has slept: the monotonic one stands still meanwhile.
#[derive(Default)]
struct Clocks {
    slept_ms: AtomicI64,
    awake: SystemClock,
}

impl Clock for Clocks {
    fn now(&self) -> Now {
        let Now { monotonic, wall } = self.awake.now();
        let slept = self.slept_ms.load(Ordering::Acquire);
        Now { monotonic, wall: Wall::from_millis(wall.as_millis() + slept) }
    }
}

/// Whether a device uses the signed list.
#[derive(Clone, Copy)]
enum Mode {
    SignedList,
    DeviceTable,
}

pub struct Device {
    pub name: String,
    pub id: DeviceId,
    pub keys: MemberKeys,
    pub store: Arc<SqliteSessionStore>,
    /// What the server shows this device goes through here.
    pub server: Arc<RewritingSupabase>,
    pub levi: Levi,
    clock: Arc<Clocks>,
    mode: Mode,
    database_key: DatabaseKey,
    folder: tempfile::TempDir,
}

impl Device {
    /// A registered device that is signed in and on no list.
    pub async fn new(world: &World, name: &str) -> Self {
        Self::with(world, name, Mode::SignedList).await
    }

    /// A device that knows nothing of lists, as daemons do that were written before them.
    pub async fn without_list(world: &World, name: &str) -> Self {
        Self::with(world, name, Mode::DeviceTable).await
    }

    async fn with(world: &World, name: &str, mode: Mode) -> Self {
        let id: DeviceId = uuid_of("device", name).as_str().into();
        let keys = MemberKeys::generate(&mut rand::rng());
        world.register_with(&id, Some(keys.envelope.public_key().to_base64())).await;
        let folder = tempfile::tempdir().unwrap();
        let database_key = DatabaseKey::generate(&mut rand::rng());
        let path = folder.path().join("sessions.sqlite");
        let store = Arc::new(SqliteSessionStore::open(path, database_key.clone()).unwrap());
        store.save_repository(&fixtures::repository()).unwrap();
        let server = Arc::new(RewritingSupabase::new(Arc::new(world.supabase())));
        let clock = Arc::default();
        let levi = build(world, &folder, &store, &database_key, &server, (mode, &id, &keys, &clock));
        levi.start().unwrap();
        Self { name: name.to_owned(), id, keys, store, server, levi, clock, mode, database_key, folder }
    }

    /// Another process on the same folder, for a command.
    pub fn other_process(&self, world: &World) -> Levi {
        build(
            world,
            &self.folder,
            &self.store,
            &self.database_key,
            &self.server,
            (self.mode, &self.id, &self.keys, &self.clock),
        )
    }

    /// The machine sleeps.
    pub fn sleep(&self, time: Duration) {
        self.clock.slept_ms.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::AcqRel);
    }

    /// Ends the process and starts it again on the same folder.
    pub async fn restart(&mut self, world: &World) {
        self.levi.shutdown(Duration::from_secs(5)).await;
        self.levi = self.other_process(world);
        self.levi.start().unwrap();
    }

    /// Starts a copy of the folder, such as a backup that is restored on another machine.
    pub async fn copy(&mut self, world: &World) -> Self {
        self.levi.shutdown(Duration::from_secs(5)).await;
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(self.folder.path()).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
        }
        self.restart(world).await;
        let (id, keys, database_key) = (self.id.clone(), self.keys.clone(), self.database_key.clone());
        let path = folder.path().join("sessions.sqlite");
        let store = Arc::new(SqliteSessionStore::open(path, database_key.clone()).unwrap());
        let server = Arc::new(RewritingSupabase::new(Arc::new(world.supabase())));
        let (clock, mode) = (Arc::default(), self.mode);
        let levi = build(world, &folder, &store, &database_key, &server, (mode, &id, &keys, &clock));
        levi.start().unwrap();
        let name = format!("copy of {}", self.name);
        Self { name, id, keys, store, server, levi, clock, mode, database_key, folder }
    }

    pub fn admin(&self) -> DeviceListAdmin {
        self.levi.device_list().unwrap().with_poll_interval(Duration::from_millis(5))
    }

    pub fn sync(&self) -> SessionSyncService {
        self.levi.session_sync(self.id.clone(), self.keys.envelope.clone()).unwrap()
    }

    pub fn reader(&self) -> Reader {
        self.levi.reader(self.id.clone(), self.keys.envelope.clone()).unwrap()
    }

    /// Begins the list.
    pub async fn init(&self) -> RecoveryKey {
        let key = RecoveryKey::generate(&mut rand::rng());
        self.admin().init(&self.name, &key, OtherDevices::PairLater).await.unwrap();
        key
    }

    /// Puts `new` on the list and shares every session with it, as two persons at two devices do.
    pub async fn pair(&self, new: &Self) {
        let admin = self.admin();
        let invitation = admin.invite().await.unwrap();
        let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
        let (theirs, name) = (new.admin(), new.name.clone());
        let join = tokio::spawn(async move { theirs.join(&code, &name, WITHIN).await });
        let asked = invitation.request(WITHIN).await.unwrap();
        assert_eq!(asked.member().fingerprint(), new.admin().fingerprint().unwrap());
        let id = invitation.accept(asked).await.unwrap();
        join.await.unwrap().unwrap();
        let report = self.sync().share_with_device(&id).await.unwrap();
        assert!(report.unreadable.is_empty(), "{report:?}");
    }

    /// A session of this device with these messages, on the server.
    pub async fn write(&self, world: &World, name: &str, contents: &[&str]) -> CodingSession {
        let session = self.begin(world, name).await;
        self.send(&session, 1, contents).await;
        session
    }

    /// A session without messages, on the server.
    pub async fn begin(&self, world: &World, name: &str) -> CodingSession {
        let session = world.session(name);
        let secret = secret();
        self.store.save_session(&session).unwrap();
        self.store.save_secret(&session.id, &secret).unwrap();
        let synced = self.sync().sync_new_session(&session.id, &session.repository_id, &secret).await;
        assert!(synced.as_ref().unwrap().is_done(), "{synced:?}");
        session
    }

    /// Messages from `first` on, on the server.
    pub async fn send(&self, session: &CodingSession, first: i64, contents: &[&str]) {
        for (number, content) in (first..).zip(contents) {
            let receipt = self.levi.enqueue_durable(request(&session.id, number, content)).await.unwrap();
            self.levi.synced(&receipt).await.unwrap();
        }
    }

    /// What this device reads of a session; for a row that cannot be read, why.
    pub async fn read(&self, session: &CodingSession) -> Vec<String> {
        let (reader, mut read, mut after) = (self.reader(), Vec::new(), None);
        loop {
            let page = match reader.pull(&session.id, after, 100).await {
                Ok(page) => page,
                Err(error) => return vec![format!("session: {error:?}")],
            };
            read.extend(page.messages.into_iter().map(|message| match message {
                Ok(message) => message.content,
                Err(error) => format!("{}: {:?}", error.sequence_number, error.error),
            }));
            if page.cursor.is_none() {
                return read;
            }
            after = page.cursor;
        }
    }

    /// Waits until the list is as `wanted` says.
    pub async fn until(&self, wanted: impl Fn(&DeviceListState) -> bool) -> DeviceListState {
        let mut status = self.levi.watch_status();
        let reached = tokio::time::timeout(WITHIN, status.wait_for(|status| wanted(&status.device_list)));
        match reached.await {
            Ok(status) => status.unwrap().device_list.clone(),
            Err(_) => panic!("{} is still {:?}", self.name, self.levi.status().device_list),
        }
    }

    pub async fn until_listed(&self, epoch: u32) {
        self.until(|state| matches!(state, DeviceListState::Listed { epoch: now, .. } if *now == epoch))
            .await;
    }
}

fn build(
    world: &World,
    folder: &tempfile::TempDir,
    store: &Arc<SqliteSessionStore>,
    database_key: &DatabaseKey,
    server: &Arc<RewritingSupabase>,
    (mode, id, keys, clock): (Mode, &DeviceId, &MemberKeys, &Arc<Clocks>),
) -> Levi {
    let config = LeviConfig {
        data_dir: Some(folder.path().to_owned()),
        flush_interval: Duration::from_millis(5),
        backoff_base: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        ..LeviConfig::default()
    };
    let levi = Levi::builder(world.http(), store.clone())
        .config(config)
        .database_key(database_key.clone())
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .auth(Arc::clone(&world.auth) as Arc<dyn Auth>)
        .supabase(Arc::clone(server) as Arc<dyn Supabase>);
    let levi = match mode {
        Mode::SignedList => levi.device_list(id.clone(), keys.clone(), store.clone()),
        Mode::DeviceTable => levi,
    };
    levi.build().unwrap()
}

/// The password of every user here, for tests that sign in themselves.
pub const PASSWORD: &str = TestUser::PASSWORD;
