//! A session that two devices write: it stays that of the device which began it, and has one secret.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::core::{NewSession, Step, Waiting};
use levi::{
    CodingSession, DatabaseKey, Levi, LeviConfig, SessionSecret, SessionSyncService, SqliteSessionStore,
    Status, SyncContext, SyncError,
};
use levi_testkit::fixtures;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use levi_transport::Table;
use levi_transport::rows::{RepositoryRow, upsert_of};
use world::{World, database_key, read_all, request, secret};

/// One of the user's devices, with folder, store and outbox of its own.
struct Device {
    levi: Levi,
    sync: SessionSyncService,
    store: Arc<SqliteSessionStore>,
    key: DatabaseKey,
    folder: tempfile::TempDir,
}

impl Device {
    fn new(world: &World, number: usize) -> Self {
        Self::open(world, number, tempfile::tempdir().unwrap(), database_key())
    }

    fn open(world: &World, number: usize, folder: tempfile::TempDir, key: DatabaseKey) -> Self {
        let store = SqliteSessionStore::open(folder.path().join("store.sqlite"), key.clone()).unwrap();
        let store = Arc::new(store);
        store.save_repository(&fixtures::repository()).unwrap();
        let config = LeviConfig { data_dir: Some(folder.path().to_owned()), ..world.config() };
        let levi = world.levi(config, store.clone(), &key);
        let (id, private) = world.device_key(number);
        let sync = levi.session_sync(id, private).unwrap();
        Self { levi, sync, store, key, folder }
    }

    /// The same device, in a new process.
    async fn restart(self, world: &World, number: usize) -> Self {
        let Self { levi, sync, store, key, folder } = self;
        levi.shutdown(Duration::from_secs(5)).await;
        drop((levi, sync, store));
        Self::open(world, number, folder, key)
    }

    /// Begins the session as if no other device had.
    async fn begin(&self, world: &World, session: &CodingSession, secret: &SessionSecret) -> NewSession {
        self.store.save_session(session).unwrap();
        self.store.save_secret(&session.id, secret).unwrap();
        self.sync.sync_new_session(&session.id, &world.repository, secret).await.unwrap()
    }

    async fn write(&self, session: &CodingSession, number: i64, text: &str) {
        let receipt = self.levi.enqueue_durable(request(&session.id, number, text)).await.unwrap();
        self.levi.synced(&receipt).await.unwrap();
    }

    async fn end(self) {
        self.levi.shutdown(Duration::from_secs(5)).await;
    }
}

fn session_row(world: &World) -> serde_json::Value {
    serde_json::Value::Object(world.server.rows(Table::Sessions).unwrap().swap_remove(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_knows_a_session_by_its_ids_only_does_not_take_it_over() {
    let world = World::new(3).await;
    let (laptop, phone) = (Device::new(&world, 0), Device::new(&world, 1));
    let session = CodingSession { current_branch: Some("topic".into()), ..world.session("one") };
    assert!(laptop.begin(&world, &session, &secret()).await.is_done());
    laptop.write(&session, 1, "text").await;

    for status in ["paused", "ended"] {
        phone.sync.sync_session(&session.id, &world.repository, status).await.unwrap();
        let row = session_row(&world);
        assert_eq!(
            (&row["status"], &row["device_id"]),
            (&status.into(), &world.devices[0].0.as_str().into())
        );
        assert_eq!((&row["title"], &row["current_branch"]), (&"session one".into(), &"topic".into()));
    }
    for row in world.server.rows(Table::Secrets).unwrap() {
        assert_eq!(row["sender_device_id"], world.devices[0].0.as_str(), "whoever the owner is later");
    }
    assert_eq!(read_all(&world.reader(2), &session.id).await, [(1, "text".to_owned())]);
    laptop.end().await;
    phone.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_that_begin_one_session_the_second_is_told_and_goes_on_with_the_firsts_secret() {
    let world = World::new(3).await;
    let (laptop, phone) = (Device::new(&world, 0), Device::new(&world, 1));
    let session = world.session("one");
    assert!(laptop.begin(&world, &session, &secret()).await.is_done());
    laptop.write(&session, 1, "of the laptop").await;
    let (before, envelopes) = (session_row(&world), world.server.rows(Table::Secrets).unwrap());

    let titled = CodingSession { title: Some("the phone's".into()), ..session.clone() };
    let own = secret();
    let refused = phone.begin(&world, &titled, &own).await;
    let owner = match &refused.session {
        Step::Failed(SyncError::SessionOfAnotherDevice { owner, .. }) => owner.clone(),
        other => panic!("{other:?}"),
    };
    let distributed = phone.sync.distribute_secret_now(&session.id, &own).await;
    assert!(matches!(distributed, Err(SyncError::OtherSecret(_))), "{distributed:?}");
    let shared = phone.sync.share_with_device(&world.devices[2].0).await.unwrap();
    assert_eq!((shared.shared.len(), shared.unreadable.len()), (0, 1), "{shared:?}");
    assert_eq!(session_row(&world), before);
    assert_eq!(world.server.rows(Table::Secrets).unwrap(), envelopes);

    // As the errors say.
    let (id, private) = world.device_key(1);
    let reader = phone.levi.reader(id, private).unwrap();
    let found = reader.session_secret(&session.id).await.unwrap();
    let known = CodingSession { owner_device_id: Some(owner), title: None, ..session.clone() };
    let adopted = phone.begin(&world, &known, &found).await;
    assert!(adopted.is_done(), "{adopted:?}");
    assert_eq!(session_row(&world)["title"], before["title"]);
    phone.write(&session, 2, "of the phone").await;
    let expected = [(1, "of the laptop".to_owned()), (2, "of the phone".to_owned())];
    assert_eq!(read_all(&world.reader(2), &session.id).await, expected);
    laptop.end().await;
    phone.end().await;
}

/// It was sealed under the device's own secret, which the others are never given.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_under_a_refused_secret_is_sent_under_the_sessions() {
    let world = World::new(3).await;
    let (laptop, phone) = (Device::new(&world, 0), Device::new(&world, 1));
    let session = world.session("one");
    assert!(laptop.begin(&world, &session, &secret()).await.is_done());
    laptop.write(&session, 1, "of the laptop").await;
    assert!(!phone.begin(&world, &session, &secret()).await.is_done());
    phone.levi.enqueue_durable(request(&session.id, 2, "before it knew")).await.unwrap();

    // The process that goes on has sealed nothing of it.
    let phone = phone.restart(&world, 1).await;
    let (id, private) = world.device_key(1);
    let found = phone.levi.reader(id, private).unwrap().session_secret(&session.id).await.unwrap();
    let owner_device_id = Some(world.devices[0].0.clone());
    let known = CodingSession { owner_device_id, title: None, ..session.clone() };
    let adopted = phone.begin(&world, &known, &found).await;
    assert!(adopted.is_done(), "{adopted:?}");
    phone.write(&session, 3, "since then").await;
    let expected = [(1, "of the laptop"), (2, "before it knew"), (3, "since then")];
    let read = read_all(&world.reader(2), &session.id).await;
    assert_eq!(read, expected.map(|(number, text)| (number, text.to_owned())));
    laptop.end().await;
    phone.end().await;
}

/// The store was moved away because it was damaged, and the session has the id that it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_lost_its_store_does_not_replace_the_secret_unless_it_is_told_to() {
    let world = World::new(2).await;
    let (before, session) = (Device::new(&world, 0), world.session("one"));
    assert!(before.begin(&world, &session, &secret()).await.is_done());
    before.write(&session, 1, "text").await;
    before.end().await;

    let after = Device::new(&world, 0);
    let other = secret();
    let report = after.begin(&world, &session, &other).await;
    assert!(report.session.is_done(), "its row is this device's own: {report:?}");
    assert!(matches!(&report.secret, Step::Failed(SyncError::OtherSecret(_))), "{report:?}");
    assert_eq!(read_all(&world.reader(1), &session.id).await, [(1, "text".to_owned())]);
    assert_eq!(after.key.expose_base64().expose().len(), 44);

    after.sync.distribute_secret(&session.id, &other).await.unwrap();
    let replaced = world.reader(1).session_secret(&session.id).await.unwrap();
    assert_eq!(replaced.expose(), other.expose());
    // What its own store had before is this device's to replace.
    let third = secret();
    let report = after.begin(&world, &session, &third).await;
    assert!(report.is_done(), "{report:?}");
    after.end().await;
}

/// What the device seals after it has lost its store could be read by nobody else, and is not sent before that is settled.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_under_a_secret_that_is_refused() {
    let world = World::new(2).await;
    let (before, session) = (Device::new(&world, 0), world.session("one"));
    assert!(before.begin(&world, &session, &secret()).await.is_done());
    before.write(&session, 1, "before").await;
    before.end().await;

    // The message is stored before anything is known of the refusal, and is due together with the secret.
    let after = Device::new(&world, 0);
    world.server.go_down();
    let offline = after.begin(&world, &session, &secret()).await;
    assert!(!offline.is_done(), "{offline:?}");
    after.levi.enqueue_durable(request(&session.id, 2, "not knowing")).await.unwrap();
    world.server.come_up().unwrap();
    after.levi.network_changed();
    after.levi.enqueue_durable(request(&session.id, 3, "knowing")).await.unwrap();
    waits_for_the_secret(&after.levi, 1).await;
    let after = after.restart(&world, 0).await;
    waits_for_the_secret(&after.levi, 4).await;

    let (id, private) = world.device_key(0);
    let found = after.levi.reader(id, private).unwrap().session_secret(&session.id).await.unwrap();
    assert!(after.begin(&world, &session, &found).await.is_done());
    after.write(&session, 4, "since then").await;
    let expected = [(1, "before"), (2, "not knowing"), (3, "knowing"), (4, "since then")];
    let read = read_all(&world.reader(1), &session.id).await;
    assert_eq!(read, expected.map(|(number, text)| (number, text.to_owned())));
    after.end().await;
}

/// The device lists cannot be read, so that the secret itself is not answered for.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_secret_is_remembered_although_it_was_not_answered_for_itself() {
    let world = World::new(2).await;
    let (before, session) = (Device::new(&world, 0), world.session("one"));
    assert!(before.begin(&world, &session, &secret()).await.is_done());
    before.write(&session, 1, "before").await;
    before.end().await;

    let after = Device::new(&world, 0);
    world.server.go_down();
    let other = secret();
    assert!(!after.begin(&world, &session, &other).await.is_done());
    after.levi.enqueue_durable(request(&session.id, 2, "not knowing")).await.unwrap();
    world.server.come_up().unwrap();
    let unavailable = || Fault::Answer(Canned::error(503, "PGRST002", "no connection"));
    world.server.faults().plan(Scope::table(Table::Devices), Times::Always, unavailable());
    after.levi.network_changed();
    waits_for_the_secret(&after.levi, 1).await;
    let after = after.restart(&world, 0).await;
    waits_for_the_secret(&after.levi, 2).await;

    // A daemon that begins its sessions anew at each start finds that out before messages follow.
    after.begin(&world, &session, &other).await;
    let after = after.restart(&world, 0).await;
    waits_for_the_secret(&after.levi, 3).await;

    after.levi.clear_context().await;
    after.levi.set_context(SyncContext { access_token: world.auth.token() }).await;
    waits_for_the_secret(&after.levi, 4).await;
    after.end().await;
}

async fn waits_for_the_secret(levi: &Levi, attempts: u32) {
    let is_waiting = |status: &Status| {
        let of_secret =
            |waiting: &Waiting| waiting.reason.code == "other_secret" && waiting.attempts >= attempts;
        status.rows_accepted > 0 || status.waiting.iter().any(of_secret)
    };
    levi.watch_status().wait_for(is_waiting).await.unwrap();
    assert_eq!(levi.status().rows_accepted, 0);
}

/// A device without an envelope could be given the second secret, though the others keep the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_refused_is_given_to_no_device() {
    let mut world = World::new(2).await;
    let (before, session) = (Device::new(&world, 0), world.session("one"));
    assert!(before.begin(&world, &session, &secret()).await.is_done());
    before.end().await;
    let envelopes = world.server.rows(Table::Secrets).unwrap();
    assert_eq!(envelopes.len(), 2);
    world.register(2).await;

    let after = Device::new(&world, 0);
    let report = after.begin(&world, &session, &secret()).await;
    assert!(matches!(&report.secret, Step::Failed(SyncError::OtherSecret(_))), "{report:?}");
    assert_eq!(world.server.rows(Table::Secrets).unwrap(), envelopes);
    after.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_does_not_set_back_the_status_of_its_repository() {
    let world = World::new(1).await;
    let repository = fixtures::repository();
    let row = RepositoryRow::new(world.user_id.clone(), world.devices[0].0.clone(), &repository);
    let row = RepositoryRow { status: "archived".into(), name: "an earlier name".into(), ..row };
    world.server.seed(upsert_of(&[row])).unwrap();
    let device = Device::new(&world, 0);
    assert!(device.begin(&world, &world.session("one"), &secret()).await.is_done());
    let row = world.server.rows(Table::Repositories).unwrap().swap_remove(0);
    assert_eq!(row["status"], "archived");
    assert_eq!(row["name"], repository.name.as_str());
    device.end().await;
}
