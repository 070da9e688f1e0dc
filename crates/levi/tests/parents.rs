//! Parents that are refused, known under another id, or deleted elsewhere; and two writers of one place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::core::Step;
use levi::{CodingSession, Levi, Repository, SessionSecret, SessionSyncService, SyncError, SyncedError};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::Scope;
use levi_transport::Table;
use levi_transport::rows::{RepositoryRow, SessionRow, upsert_of};
use levi_types::{SessionId, UserId, Wall};
use world::{LaterClock, PATH, World, database_key, read_all, request, secret};

struct Device {
    levi: Levi,
    sync: SessionSyncService,
    session: CodingSession,
    secret: SessionSecret,
    store: Arc<levi::SqliteSessionStore>,
}

/// The first device, with a session that is not on the server yet.
fn device(world: &World, session: CodingSession) -> Device {
    device_with(world, session, &database_key())
}

fn device_with(world: &World, session: CodingSession, key: &levi::DatabaseKey) -> Device {
    let store = world.store(key);
    store.save_session(&session).unwrap();
    let secret = secret();
    store.save_secret(&session.id, &secret).unwrap();
    let levi = world.levi(world.config(), store.clone(), key);
    let (id, private) = world.device_key(0);
    let sync = levi.session_sync(id, private).unwrap();
    Device { levi, sync, session, secret, store }
}

impl Device {
    async fn begin(&self, world: &World) -> levi::core::NewSession {
        self.sync.sync_new_session(&self.session.id, &world.repository, &self.secret).await.unwrap()
    }
}

/// Another outbox with the same secret: another device that may write to the session.
struct OtherWriter {
    folder: tempfile::TempDir,
    key: levi::DatabaseKey,
    store: Arc<levi::SqliteSessionStore>,
}

impl OtherWriter {
    fn of(device: &Device) -> Self {
        let (folder, key) = (tempfile::tempdir().unwrap(), database_key());
        let store = levi::SqliteSessionStore::open(folder.path().join("store.sqlite"), key.clone()).unwrap();
        store.save_secret(&device.session.id, &device.secret).unwrap();
        Self { folder, key, store: Arc::new(store) }
    }
    fn levi(&self, world: &World) -> Levi {
        let config = levi::LeviConfig { data_dir: Some(self.folder.path().to_owned()), ..world.config() };
        world.levi(config, self.store.clone(), &self.key)
    }

    fn levi_with(&self, world: &World, clock: Arc<LaterClock>) -> Levi {
        let config = levi::LeviConfig { data_dir: Some(self.folder.path().to_owned()), ..world.config() };
        let builder = Levi::builder(world.http(), self.store.clone()).config(config);
        let builder = builder.database_key(self.key.clone()).auth(world.auth.clone()).clock(clock);
        let levi = builder.build().unwrap();
        levi.start().unwrap();
        levi
    }
}

/// Another writer of a session whose own device has sent one message, `of the first`, with this number.
async fn after_a_first_writer(world: &World, number: i64) -> (SessionId, OtherWriter) {
    let first = device(world, world.session("one"));
    let session = first.session.id.clone();
    first.begin(world).await;
    let receipt = first.levi.enqueue_durable(request(&session, number, "of the first")).await.unwrap();
    first.levi.synced(&receipt).await.unwrap();
    first.levi.shutdown(Duration::from_secs(5)).await;
    let writer = OtherWriter::of(&first);
    (session, writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_title_with_nul_does_not_keep_the_session_from_the_server() {
    let world = World::new(2).await;
    let session = CodingSession { title: Some("a\0b".into()), ..world.session("one") };
    let device = device(&world, session);
    assert!(device.begin(&world).await.is_done());
    let receipt = device.levi.enqueue_durable(request(&device.session.id, 1, "text")).await.unwrap();
    device.levi.synced(&receipt).await.unwrap();
    let rows = world.server.rows(Table::Sessions).unwrap();
    assert_eq!(rows[0]["title"], "a\u{fffd}b");
    device.levi.shutdown(Duration::from_secs(5)).await;
}

/// An earlier installation registered this device's folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_the_server_knows_under_another_id_keeps_that_id() {
    let world = World::new(2).await;
    let device = device(&world, world.session("one"));
    let other = uuid_of("repository", "of an earlier installation");
    let known = Repository::new(other.as_str(), "levi", PATH);
    let row = RepositoryRow::new(world.user_id.clone(), world.devices[0].0.clone(), &known);
    world.server.seed(upsert_of(&[row])).unwrap();

    let report = device.begin(&world).await;
    assert!(report.is_done(), "{report:?}");
    let receipt = device.levi.enqueue_durable(request(&device.session.id, 1, "text")).await.unwrap();
    device.levi.synced(&receipt).await.unwrap();
    assert_eq!(world.server.row_count(Table::Repositories).unwrap(), 1);
    let sessions = world.server.rows(Table::Sessions).unwrap();
    assert_eq!(sessions[0]["repository_id"], other.as_str());
    device.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_id_of_another_user_is_refused_by_name_and_holds_its_messages() {
    let world = World::new(1).await;
    let device = device(&world, world.session("one"));
    let stranger: UserId = world.server.add_user("eve@example.com", "correct horse").unwrap();
    let theirs = uuid_of("device", "of a stranger");
    let registered = levi_transport::rows::DeviceRow::new(theirs.as_str(), stranger.clone(), "x", "desktop");
    world.server.seed(upsert_of(&[registered])).unwrap();
    let folder = Repository::new(uuid_of("repository", "theirs").as_str(), "x", "/x");
    let row = RepositoryRow::new(stranger.clone(), theirs.as_str().into(), &folder);
    world.server.seed(upsert_of(&[row])).unwrap();
    let taken = CodingSession::new(device.session.id.clone(), folder.id.clone());
    let row = SessionRow::new(stranger, theirs.as_str().into(), &taken, Wall::from_millis(0));
    world.server.seed(upsert_of(&[row])).unwrap();

    let receipt = device.levi.enqueue_durable(request(&device.session.id, 1, "text")).await.unwrap();
    let report = device.begin(&world).await;
    assert!(matches!(&report.session, Step::Failed(SyncError::OwnedByAnother { .. })), "{report:?}");
    let held = device.levi.synced(&receipt).await;
    assert!(
        matches!(&held, Err(SyncedError::ParentParked(reason)) if reason.code == "owned_by_another"),
        "{held:?}"
    );
    assert_eq!(device.levi.status().totals.parked_rows, 0, "no message is explained by an error of its own");
    device.levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_deleted_elsewhere_is_held_and_restored_whole_only_when_asked_for() {
    let world = World::new(2).await;
    let device = device(&world, world.session("one"));
    let (levi, session) = (&device.levi, device.session.id.clone());
    device.begin(&world).await;
    let receipt = levi.enqueue_durable(request(&session, 1, "first")).await.unwrap();
    levi.synced(&receipt).await.unwrap();

    world.server.delete_session(&session).unwrap();
    let second = levi.enqueue_durable(request(&session, 2, "second")).await.unwrap();
    let gone = levi.synced(&second).await;
    assert!(matches!(gone, Err(SyncedError::SessionGone(_))), "{gone:?}");
    assert_eq!(world.server.row_count(Table::Sessions).unwrap(), 0, "it is not written again by itself");
    let status = levi.status();
    assert_eq!((status.totals.pending_rows, status.totals.parked_rows), (1, 0));
    assert_eq!(status.parked_parents[0].reason.code, "session_gone");
    let again = device.sync.sync_session(&session, &world.repository, "active").await;
    assert!(matches!(again, Err(SyncError::SessionGone(_))), "{again:?}");

    let report = device.sync.restore_session(&session).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    levi.synced(&second).await.unwrap();
    assert_eq!(read_all(&world.reader(1), &session).await, [(2, "second".to_owned())]);
    assert_eq!(levi.status().parked_parents, []);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// Two devices write message 7. The second is told, and overwrites nothing.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_texts_for_one_place_the_first_stays_and_the_other_writer_is_told() {
    let world = World::new(2).await;
    let (session, writer) = after_a_first_writer(&world, 7).await;
    let second = writer.levi(&world);
    let taken = second.enqueue_durable(request(&session, 7, "of the second")).await.unwrap();
    let refused = second.synced(&taken).await;
    assert!(
        matches!(&refused, Err(SyncedError::Parked(reason)) if reason.code == "sequence_taken"),
        "{refused:?}"
    );
    assert_eq!(read_all(&world.reader(1), &session).await, [(7, "of the first".to_owned())]);
    // Its own next message goes on, in one request.
    assert_eq!(second.next_sequence_number(&session).await.unwrap(), 8);
    let next = second.enqueue_durable(request(&session, 8, "next")).await.unwrap();
    second.synced(&next).await.unwrap();
    // An edit of its own message replaces it, and so does a text that the caller wants there.
    let edit = second.enqueue_durable(request(&session, 8, "edited")).await.unwrap();
    second.synced(&edit).await.unwrap();
    let wanted = second.replace_durable(request(&session, 7, "after all")).await.unwrap();
    second.synced(&wanted).await.unwrap();
    let expected = [(7, "after all".to_owned()), (8, "edited".to_owned())];
    assert_eq!(read_all(&world.reader(1), &session).await, expected);
    second.shutdown(Duration::from_secs(5)).await;
}

/// Under another secret, the same message has another name.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_under_a_later_secret_replaces_ones_own_earlier_text() {
    let world = World::new(2).await;
    let device = device(&world, world.session("one"));
    let (levi, session) = (&device.levi, device.session.id.clone());
    device.begin(&world).await;
    let receipt = levi.enqueue_durable(request(&session, 1, "first")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    let later = secret();
    device.store.save_secret(&session, &later).unwrap();
    device.sync.distribute_secret(&session, &later).await.unwrap();
    let edit = levi.enqueue_durable(request(&session, 1, "edited")).await.unwrap();
    levi.synced(&edit).await.unwrap();
    assert_eq!(read_all(&world.reader(1), &session).await, [(1, "edited".to_owned())]);
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_the_highest_number_has_no_next_one() {
    let world = World::new(1).await;
    let device = device(&world, world.session("one"));
    let session = device.session.id.clone();
    device.levi.enqueue_durable(request(&session, i64::MAX - 1, "one before")).await.unwrap();
    assert_eq!(device.levi.next_sequence_number(&session).await.unwrap(), i64::MAX);
    device.levi.enqueue_durable(request(&session, i64::MAX, "the last")).await.unwrap();
    let full = device.levi.next_sequence_number(&session).await;
    assert!(matches!(&full, Err(SyncError::SessionFull(id)) if *id == session), "{full:?}");
    device.levi.shutdown(Duration::from_secs(5)).await;
}

/// The daemon leaves the numbers out, and another device has written before.
#[tokio::test(flavor = "multi_thread")]
async fn messages_without_numbers_come_after_the_last_one_each_at_a_place_of_its_own() {
    let world = World::new(2).await;
    let first = device(&world, world.session("one"));
    let session = first.session.id.clone();
    first.begin(&world).await;
    let receipt = first.levi.enqueue_durable(request(&session, 3, "of the first")).await.unwrap();
    first.levi.synced(&receipt).await.unwrap();
    first.levi.shutdown(Duration::from_secs(5)).await;

    let writer = OtherWriter::of(&first);
    let second = Arc::new(writer.levi(&world));
    let append = |text: usize| {
        let (levi, session) = (Arc::clone(&second), session.clone());
        tokio::spawn(async move {
            let appended =
                levi.append_durable(&session, format!("id {text}"), text.to_string()).await.unwrap();
            levi.synced(&appended.receipt).await.unwrap();
            (appended.sequence_number, text.to_string())
        })
    };
    let appending: Vec<_> = (0..20).map(append).collect();
    let mut expected = vec![(3, "of the first".to_owned())];
    for appended in appending {
        expected.push(appended.await.unwrap());
    }
    expected.sort_unstable();
    assert_eq!(expected.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (3..24).collect::<Vec<_>>());
    assert_eq!(read_all(&world.reader(1), &session).await, expected);

    world.server.go_down();
    let offline = second.append_durable(&session, "offline", "offline").await.unwrap();
    assert_eq!(offline.sequence_number, 24);
    let unknown = second.append_durable(&world.session("unknown").id, "m", "text").await;
    assert!(unknown.is_err(), "another device may have begun it: {unknown:?}");
    second.shutdown(Duration::from_millis(50)).await;
}

/// Two devices take turns: what one of them knows grows old while the other writes.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_that_append_in_turn_each_comes_after_the_other() {
    let world = World::new(2).await;
    let owner = device(&world, world.session("one"));
    let session = owner.session.id.clone();
    owner.begin(&world).await;
    let writers = [OtherWriter::of(&owner), OtherWriter::of(&owner)];
    owner.levi.shutdown(Duration::from_secs(5)).await;
    let clock = Arc::new(LaterClock::default());
    let [laptop, phone] = [0, 1].map(|number| writers[number].levi_with(&world, clock.clone()));
    let append = async |levi: &Levi| {
        let appended = levi.append_durable(&session, any_id(), "text").await.unwrap();
        levi.synced(&appended.receipt).await.unwrap();
        appended.sequence_number
    };
    let mut numbers = Vec::new();
    for _ in 0..3 {
        for levi in [&laptop, &phone] {
            numbers.extend([append(levi).await, append(levi).await]);
            clock.pass(Duration::from_secs(5));
        }
    }
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert_eq!(laptop.status().totals.parked_rows + phone.status().totals.parked_rows, 0);

    // Without the server it goes on from what it knows.
    world.server.go_down();
    for number in 13..15 {
        let offline = phone.append_durable(&session, any_id(), "offline").await.unwrap();
        assert_eq!(offline.sequence_number, number);
        clock.pass(Duration::from_secs(5));
    }
    laptop.shutdown(Duration::ZERO).await;
    phone.shutdown(Duration::ZERO).await;
}

fn any_id() -> String {
    uuid_of("message", &rand::random::<u64>().to_string())
}

/// The permission to replace a text, and the lack of any, are kept with the row.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_may_replace_is_known_after_a_restart() {
    let world = World::new(2).await;
    let (session, writer) = after_a_first_writer(&world, 1).await;
    let second = writer.levi(&world);
    let receipt = second.enqueue_durable(request(&session, 2, "newer")).await.unwrap();
    second.synced(&receipt).await.unwrap();
    world.server.go_down();
    second.replace_durable(request(&session, 1, "wanted")).await.unwrap();
    second.enqueue_durable(request(&session, 2, "recovered")).await.unwrap();
    second.shutdown(Duration::ZERO).await;
    // As the recovery of a damaged file marks a row that may have been sent.
    let outbox = levi::outbox::sqlite::DataDir::new(Some(writer.folder.path().to_owned())).outbox_path();
    let file = levi::outbox::rusqlite::Connection::open(outbox).unwrap();
    let marked =
        "INSERT INTO levi_overwrites SELECT id, version, 2 FROM levi_outbox WHERE sequence_number = 2";
    assert_eq!(file.execute(marked, []).unwrap(), 1);
    drop(file);
    world.server.come_up().unwrap();

    let second = writer.levi(&world);
    let done = |status: &levi::Status| (status.totals.pending_rows, status.totals.parked_rows) == (0, 1);
    second.watch_status().wait_for(done).await.unwrap();
    let expected = [(1, "wanted".to_owned()), (2, "newer".to_owned())];
    assert_eq!(read_all(&world.reader(1), &session).await, expected);
    second.shutdown(Duration::from_secs(5)).await;
}

/// A damaged outbox may have rows of a session that the server has in newer versions by now.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_damaged_outbox_says_of_a_session_is_written_only_where_the_server_has_nothing() {
    let (world, key) = (World::new(2).await, database_key());
    world.server.go_down();
    let first = device_with(&world, world.session("one"), &key);
    let session = first.session.id.clone();
    first.begin(&world).await;
    first.levi.shutdown(Duration::ZERO).await;
    // As the recovery of a damaged file marks a row that may have been sent.
    let path = world.outbox_path();
    let file = levi::outbox::rusqlite::Connection::open(&path).unwrap();
    let marked = "INSERT INTO levi_overwrites SELECT id, version, 2 FROM levi_outbox";
    assert_eq!(file.execute(marked, []).unwrap(), 3);
    drop(file);
    let recovered = std::fs::read(&path).unwrap();
    world.server.come_up().unwrap();

    let sent = |status: &levi::Status| status.user_id.is_some() && status.totals.control_rows == 0;
    let second = device_with(&world, world.session("one"), &key);
    second.levi.watch_status().wait_for(sent).await.unwrap();
    let envelopes = world.server.rows(Table::Secrets).unwrap();
    assert_eq!((envelopes.len(), world.server.row_count(Table::Sessions).unwrap()), (2, 1));
    second.sync.sync_session(&session, &world.repository, "ended").await.unwrap();
    second.levi.shutdown(Duration::from_secs(5)).await;

    // The same rows again, with a secret that this device made up since.
    std::fs::write(&path, recovered).unwrap();
    let third = device_with(&world, world.session("one"), &key);
    third.levi.watch_status().wait_for(sent).await.unwrap();
    assert_eq!(world.server.rows(Table::Sessions).unwrap()[0]["status"], "ended");
    assert_eq!(world.server.rows(Table::Secrets).unwrap(), envelopes);
    assert_eq!(third.levi.status().totals.parked_control_rows, 0);
    third.levi.shutdown(Duration::from_secs(5)).await;
}

/// A lost answer is no conflict, and the ordinary case is one request.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_request_and_a_lost_answer_is_found_out_with_one_more() {
    let world = World::new(1).await;
    let device = device(&world, world.session("one"));
    device.begin(&world).await;
    let session = device.session.id.clone();
    let before = *world.server.stats().table(Table::Messages);
    let receipt = device.levi.enqueue_durable(request(&session, 1, "one")).await.unwrap();
    device.levi.synced(&receipt).await.unwrap();
    let after = *world.server.stats().table(Table::Messages);
    assert_eq!((after.posts - before.posts, after.gets), (1, before.gets));

    let lost = levi_testkit::supabase::Fault::ResetAfterWrite;
    world.server.faults().plan(Scope::table(Table::Messages), levi_testkit::supabase::Times::Next(1), lost);
    let receipt = device.levi.enqueue_durable(request(&session, 2, "two")).await.unwrap();
    device.levi.synced(&receipt).await.unwrap();
    assert_eq!(device.levi.status().totals.parked_rows, 0);
    assert_eq!(world.server.row_count(Table::Messages).unwrap(), 2);
    device.levi.shutdown(Duration::from_secs(5)).await;
}
