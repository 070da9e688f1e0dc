//! Two people at one device, over HTTP and on one data folder: each one's rows are sent for that one only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::outbox::Held;
use levi::transport::{HttpSignIn, HttpSupabase, Table};
use levi::types::{AuthError, CredentialName};
use levi::{
    CodingSession, Credentials as _, DatabaseKey, DeviceId, DevicePrivateKey, EnqueueError, FileCredentials,
    HttpOptions, Levi, LeviConfig, PauseReason, ReadError, RefreshingAuth, Repository, RepositoryId,
    SecretsCache, SessionSyncService, SqliteSessionStore, SyncContext, SyncError, UserId,
};
use levi_testkit::fixtures::{TestUser, uuid_of};
use levi_testkit::supabase::{Canned, FakeSupabase, Fault, Scope, Times};
use world::{database_key, read_all, request, secret};

/// One of the two, with a device and a session of their own.
struct Person {
    user: TestUser,
    email: String,
    device: DeviceId,
    key: [u8; 32],
    repository: RepositoryId,
    session: CodingSession,
}

impl Person {
    fn new(server: &Arc<FakeSupabase>, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let id = server.add_user(&email, TestUser::PASSWORD).unwrap();
        let user = TestUser { server: Arc::clone(server), id };
        let key = DevicePrivateKey::generate(&mut rand::rng());
        let device: DeviceId = uuid_of("device", name).as_str().into();
        user.add_device(&device, Some(key.public_key().to_base64())).unwrap();
        let repository: RepositoryId = uuid_of("repository", name).as_str().into();
        let session = CodingSession::new(uuid_of("session", name), repository.clone());
        Self { user, email, device, key: *key.expose_bytes(), repository, session }
    }

    fn id(&self) -> &UserId {
        &self.user.id
    }

    fn key(&self) -> DevicePrivateKey {
        DevicePrivateKey::from_bytes(self.key)
    }

    /// What the server has of this person's session.
    fn on_server(&self) -> usize {
        self.user.server.messages(&self.session.id).unwrap().len()
    }
}

struct Machine {
    server: Arc<FakeSupabase>,
    folder: tempfile::TempDir,
    key: DatabaseKey,
    store: Arc<SqliteSessionStore>,
    credentials: Arc<FileCredentials>,
}

impl Machine {
    fn new(server: &Arc<FakeSupabase>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = database_key();
        let store = SqliteSessionStore::open(folder.path().join("store.sqlite"), key.clone()).unwrap();
        let credentials = FileCredentials::open(folder.path().join("credentials")).unwrap();
        let (store, credentials) = (Arc::new(store), Arc::new(credentials));
        Self { server: Arc::clone(server), folder, key, store, credentials }
    }

    fn http(&self) -> HttpOptions {
        HttpOptions::new(self.server.url(), self.server.publishable_key())
    }

    /// Signs in, as the daemon's own dialogue does.
    async fn sign_in(&self, person: &Person) -> SyncContext {
        let sign_in = Arc::new(HttpSignIn::new(&self.http()).unwrap());
        let auth = RefreshingAuth::new(sign_in, self.credentials.clone());
        let session = auth.sign_in(&person.email, &TestUser::PASSWORD.into()).await.unwrap();
        SyncContext { access_token: session.access_token }
    }

    fn sign_out(&self) {
        self.credentials.remove(&CredentialName::SignIn).unwrap();
    }

    /// Started, and signed in with what is stored.
    async fn levi(&self) -> Levi {
        let levi = self.started();
        levi.watch_status().wait_for(|status| status.paused.is_none()).await.unwrap();
        levi
    }

    fn started(&self) -> Levi {
        let config = LeviConfig {
            data_dir: Some(self.folder.path().to_owned()),
            flush_interval: Duration::from_millis(10),
            backoff_base: Duration::from_millis(20),
            backoff_max: Duration::from_millis(200),
            ..LeviConfig::default()
        };
        let builder = Levi::builder(self.http(), self.store.clone()).config(config);
        let levi =
            builder.database_key(self.key.clone()).credentials(self.credentials.clone()).build().unwrap();
        levi.start().unwrap();
        levi
    }

    /// A new session with three messages, recorded for whoever is signed in.
    async fn work(&self, levi: &Levi, person: &Person) -> SessionSyncService {
        let path = format!("/home/{}", person.email);
        self.store.save_repository(&Repository::new(person.repository.clone(), "levi", path)).unwrap();
        self.store.save_session(&person.session).unwrap();
        let sync = levi.session_sync(person.device.clone(), person.key()).unwrap();
        let secret = secret();
        self.store.save_secret(&person.session.id, &secret).unwrap();
        let _ = sync.sync_new_session(&person.session.id, &person.repository, &secret).await.unwrap();
        for number in 1..=3 {
            levi.enqueue_durable(request(&person.session.id, number, &person.email)).await.unwrap();
        }
        sync
    }
}

fn two_people() -> (Arc<FakeSupabase>, Person, Person) {
    let server = Arc::new(FakeSupabase::start().unwrap());
    let (ada, ben) = (Person::new(&server, "ada"), Person::new(&server, "ben"));
    (server, ada, ben)
}

fn three_messages_of(person: &Person) -> Vec<(i64, String)> {
    (1..=3).map(|number| (number, person.email.clone())).collect()
}

/// `person` is signed in, and everything that is not held is on the server.
async fn nothing_waits_for(person: &Person, levi: &Levi) {
    let mut status = levi.watch_status();
    let is_done = |status: &levi::Status| {
        let held: u64 = status.held.iter().map(|held| held.pending).sum();
        let rows = status.totals.pending_rows + status.totals.control_rows;
        status.user_id.as_ref() == Some(person.id()) && rows == held && status.requests_in_flight == 0
    };
    status.wait_for(is_done).await.unwrap();
}

/// `set_context` with another user, after `clear_context`, in one process.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_recorded_offline_waits_for_its_own_user_while_another_one_works() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    let context = machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    levi.set_context(context).await;
    server.go_down();
    let reader_of_ada = levi.reader(ada.device.clone(), ada.key()).unwrap();
    machine.work(&levi, &ada).await;
    levi.clear_context().await;
    machine.sign_out();
    // Ada's agent goes on for a moment.
    levi.enqueue_durable(request(&ada.session.id, 4, &ada.email)).await.unwrap();
    server.come_up().unwrap();

    levi.set_context(machine.sign_in(&ben).await).await;
    let refused = levi.enqueue_durable(request(&ada.session.id, 5, "ben's")).await.unwrap_err();
    assert!(
        matches!(&refused, EnqueueError::OtherUser { user_id, .. } if user_id.as_ref() == Some(ada.id()))
    );
    let sync = machine.work(&levi, &ben).await;
    nothing_waits_for(&ben, &levi).await;
    let reader_of_ben = levi.reader(ben.device.clone(), ben.key()).unwrap();
    assert_eq!(read_all(&reader_of_ben, &ben.session.id).await, three_messages_of(&ben));
    assert_eq!((ben.on_server(), ada.on_server(), server.row_count(Table::Sessions).unwrap()), (3, 0, 1));
    let held = Held { user_id: Some(ada.id().clone()), pending: 7, messages: 4, parked: 0 };
    assert_eq!(levi.status().held, [held]);
    assert_eq!(levi.status().user_id.as_ref(), Some(ben.id()));
    let error = reader_of_ada.pull(&ada.session.id, None, 10).await.unwrap_err();
    assert!(matches!(&error, ReadError::Auth(AuthError::OtherUser { .. })), "{error}");
    assert!(reader_of_ben.pull(&ada.session.id, None, 10).await.is_err());
    sync.sync_session(&ada.session.id, &ada.repository, "ended").await.unwrap_err();
    let attempts = || {
        let outbox = levi::outbox::sqlite::DataDir::new(Some(machine.folder.path().to_owned())).outbox_path();
        let rows = levi::outbox::sqlite::Inspector::open(outbox).unwrap().list(None, 99).unwrap();
        rows.iter().map(|row| (row.id, row.held, row.attempts)).collect::<Vec<_>>()
    };
    let before = attempts();
    levi.network_changed();
    nothing_waits_for(&ben, &levi).await;
    assert_eq!(attempts(), before, "what is held is neither tried nor counted");

    levi.set_context(machine.sign_in(&ada).await).await;
    nothing_waits_for(&ada, &levi).await;
    assert_eq!((levi.status().held, ada.on_server(), ben.on_server()), (vec![], 4, 3));
    let mut all = three_messages_of(&ada);
    all.push((4, ada.email.clone()));
    assert_eq!(read_all(&reader_of_ada, &ada.session.id).await, all);
    assert!(server.order_violations().is_empty());
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A restart as somebody else, with the sign-in in the credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_as_somebody_else_sends_nothing_of_the_one_before() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    server.go_down();
    machine.work(&levi, &ada).await;
    levi.shutdown(Duration::ZERO).await;
    server.come_up().unwrap();

    machine.sign_in(&ben).await;
    let levi = machine.levi().await;
    machine.work(&levi, &ben).await;
    nothing_waits_for(&ben, &levi).await;
    assert_eq!((ben.on_server(), ada.on_server(), levi.status().held.len()), (3, 0, 1));
    let report = levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.pending, report.held), (0, 3), "the next start sends nothing of what is held");

    machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    levi.session_sync(ada.device.clone(), ada.key()).unwrap();
    nothing_waits_for(&ada, &levi).await;
    let reader = levi.reader(ada.device.clone(), ada.key()).unwrap();
    assert_eq!(read_all(&reader, &ada.session.id).await, three_messages_of(&ada));
    levi.shutdown(Duration::from_secs(5)).await;
}

/// After a sign-out and a restart, what is enqueued before somebody signs in is the last user's, though the
/// engine hears of the next user first.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_enqueued_before_anybody_is_named_is_the_last_users() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    machine.work(&levi, &ada).await;
    nothing_waits_for(&ada, &levi).await;
    levi.shutdown(Duration::from_secs(5)).await;
    machine.sign_out();

    let levi = machine.started();
    // More than the engine takes at once.
    let numbers = 10..=700;
    for number in numbers.clone() {
        levi.enqueue(request(&ada.session.id, number, "ada's")).unwrap();
    }
    levi.set_context(machine.sign_in(&ben).await).await;
    machine.work(&levi, &ben).await;
    nothing_waits_for(&ben, &levi).await;
    let pending = numbers.count() as u64;
    let held = Held { user_id: Some(ada.id().clone()), pending, messages: pending, parked: 0 };
    assert_eq!(levi.status().held, [held]);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// The refresh finds another user's sign-in, which another process stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_brings_another_user_changes_the_user() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    let mut status = levi.watch_status();
    status.wait_for(|status| status.paused.is_none()).await.unwrap();
    machine.sign_in(&ben).await;
    server.expire_tokens(ada.id());
    machine.store.save_session(&ada.session).unwrap();
    machine.store.save_secret(&ada.session.id, &secret()).unwrap();
    levi.enqueue_durable(request(&ada.session.id, 1, "ada's")).await.unwrap();
    status.wait_for(|status| status.user_id.as_ref() == Some(ben.id())).await.unwrap();
    machine.work(&levi, &ben).await;
    nothing_waits_for(&ben, &levi).await;
    assert_eq!((ben.on_server(), ada.on_server()), (3, 0));
    assert_eq!(levi.status().held.len(), 1);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// Session sync that began before anybody signed in is the first user's, and keeps nobody else from theirs.
#[tokio::test(flavor = "multi_thread")]
async fn session_sync_is_for_the_user_of_its_first_use_only() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    let levi = machine.started();
    let of_ada = levi.session_sync(ada.device.clone(), ada.key()).unwrap();
    assert_eq!(of_ada.user(), None);
    levi.set_context(machine.sign_in(&ada).await).await;
    machine.work(&levi, &ada).await;
    nothing_waits_for(&ada, &levi).await;
    assert_eq!(of_ada.user(), Some(ada.id()));

    levi.set_context(machine.sign_in(&ben).await).await;
    machine.store.save_repository(&Repository::new(ben.repository.clone(), "levi", "/home/ben")).unwrap();
    let waits = of_ada.sync_repository(&ben.repository).await.unwrap_err();
    assert!(matches!(&waits, SyncError::Waiting(reason) if reason.code == "no_session_sync"), "{waits}");
    assert_eq!(server.row_count(Table::Repositories).unwrap(), 1, "nothing of ben's goes by ada's device");
    machine.work(&levi, &ben).await;
    nothing_waits_for(&ben, &levi).await;
    assert_eq!((ben.on_server(), server.row_count(Table::Repositories).unwrap()), (3, 2));
    levi.shutdown(Duration::from_secs(5)).await;
}

/// Without an outbox, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_its_own_acts_for_the_user_of_its_first_use_only() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    machine.sign_in(&ada).await;
    let (supabase, cache) = (HttpSupabase::new(&machine.http()).unwrap(), SecretsCache::new());
    let credentials = machine.credentials.clone();
    let (device, key) = (ada.device.clone(), ada.key());
    let sync = SessionSyncService::new(
        Arc::new(supabase),
        machine.store.clone(),
        credentials,
        device,
        key,
        cache.clone(),
    );
    machine.store.save_repository(&Repository::new(ada.repository.clone(), "levi", "/home/ada")).unwrap();
    sync.sync_repository(&ada.repository).await.unwrap();
    // The cache is shared with a worker, which hears of the next user first.
    machine.sign_in(&ben).await;
    cache.signed_in(ben.id());
    machine.store.save_repository(&Repository::new(ben.repository.clone(), "levi", "/home/ben")).unwrap();
    let refused = sync.sync_repository(&ben.repository).await.unwrap_err();
    assert!(refused.to_string().contains(ada.id().as_str()), "{refused}");
    assert_eq!(server.row_count(Table::Repositories).unwrap(), 1);
}

/// A stored sign-in of somebody else, while the daemon has said who is signed in.
#[tokio::test(flavor = "multi_thread")]
async fn the_context_and_the_stored_sign_in_must_agree() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    let context = machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    levi.set_context(context).await;
    machine.sign_in(&ben).await;
    let sync = levi.session_sync(ada.device.clone(), ada.key()).unwrap();
    machine.store.save_repository(&Repository::new(ada.repository.clone(), "levi", "/home/ada")).unwrap();
    assert!(sync.sync_repository(&ada.repository).await.is_err());
    let reader = levi.reader(ada.device.clone(), ada.key()).unwrap();
    let error = reader.pull(&ada.session.id, None, 1).await.unwrap_err();
    assert!(matches!(error, ReadError::Auth(AuthError::OtherUser { .. })), "{error}");
    assert_eq!(server.row_count(Table::Repositories).unwrap(), 0);
    levi.shutdown(Duration::ZERO).await;
}

/// The stored sign-in says nothing about a token that the daemon brought.
#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_of_the_daemons_is_used_whoever_is_stored() {
    let (server, ada, ben) = two_people();
    let machine = Machine::new(&server);
    let context = machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    levi.set_context(context).await;
    let sync = machine.work(&levi, &ada).await;
    nothing_waits_for(&ada, &levi).await;
    machine.sign_in(&ben).await;
    // A row on which no message waits.
    let waits = sync.sync_repository(&ada.repository).await.unwrap_err();
    assert_eq!(waits.code(), "other_user", "{waits}");
    // Nor does one refusal that passes.
    server.faults().plan(Scope::table(Table::Messages), Times::Next(1), Fault::Answer(token_refused()));
    let receipt = levi.enqueue_durable(request(&ada.session.id, 4, &ada.email)).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    assert_eq!((ada.on_server(), levi.status().paused), (4, None));
    // With ada's sign-in the row goes too.
    machine.sign_in(&ada).await;
    nothing_waits_for(&ada, &levi).await;
    levi.shutdown(Duration::ZERO).await;
}

fn token_refused() -> Canned {
    Canned::new(401).body(r#"{"code":"PGRST303","message":"JWT issued at future"}"#)
}

/// A project's own key has no user.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_names_no_user_sends_nothing_of_anybody() {
    let (server, ada, _) = two_people();
    let machine = Machine::new(&server);
    let context = machine.sign_in(&ada).await;
    let levi = machine.levi().await;
    levi.set_context(context).await;
    levi.clear_context().await;
    levi.set_context(SyncContext { access_token: server.secret_key().into() }).await;
    let mut status = levi.watch_status();
    let unknown = |status: &levi::Status| status.paused == Some(PauseReason::UnknownUser);
    status.wait_for(unknown).await.unwrap();
    levi.shutdown(Duration::ZERO).await;
}
