//! Sessions and secrets: every step survives a failure, and a bad device costs only itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levi::core::Step;
use levi::{DeviceId, Levi, NotConnected, SessionSyncService, SqliteSessionStore, SyncError};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use levi_transport::Table;
use world::{World, database_key, read_all, request, secret};

fn service(world: &World) -> (Levi, SessionSyncService, levi::CodingSession) {
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    (levi, sync, session)
}

/// Parents before children, and messages not before their session, whatever fails on the way.
#[tokio::test(flavor = "multi_thread")]
async fn steps_that_fail_are_tried_again_by_themselves_and_messages_wait_for_their_session() {
    let world = World::new(2).await;
    let (levi, sync, session) = service(&world);
    let faults = world.server.faults();
    for table in [Table::Repositories, Table::Sessions, Table::Secrets] {
        faults.plan(Scope::table(table), Times::Next(2), Fault::Answer(Canned::new(503)));
    }
    let secret = secret();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    assert!(matches!(report.repository, Step::WillRetry(SyncError::Supabase(_))), "{report:?}");
    assert!(matches!(report.session, Step::WillRetry(SyncError::Waiting(_))), "{report:?}");
    assert!(matches!(report.secret, Step::WillRetry(SyncError::Waiting(_))), "{report:?}");

    let receipt = levi.enqueue_durable(request(&session.id, 1, "first")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|status| status.totals.control_rows == 0).await.unwrap();
    assert_eq!(read_all(&world.reader(1), &session.id).await, [(1, "first".to_owned())]);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// What was recorded before the process ended is done after the next start, the secret included, though the
/// daemon's store never had it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_begun_offline_is_synced_after_the_next_start() {
    let world = World::new(2).await;
    let key = database_key();
    let session = world.session("one");
    {
        let store = world.store(&key);
        store.save_session(&session).unwrap();
        world.server.go_down();
        let levi = world.levi(world.config(), store, &key);
        let (device, device_key) = world.device_key(0);
        let sync = levi.session_sync(device, device_key).unwrap();
        let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
        assert!(!report.is_done());
        levi.enqueue_durable(request(&session.id, 1, "offline")).await.unwrap();
        levi.shutdown(Duration::from_millis(1)).await;
    }
    world.server.come_up().unwrap();
    let levi = world.levi(world.config(), world.store(&key), &key);
    let (device, device_key) = world.device_key(0);
    let _sync = levi.session_sync(device, device_key).unwrap();
    let mut status = levi.watch_status();
    let done = |status: &levi::Status| status.totals.control_rows == 0 && status.rows_accepted == 1;
    status.wait_for(done).await.unwrap();
    assert_eq!(read_all(&world.reader(1), &session.id).await, [(1, "offline".to_owned())]);
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signed_in_is_an_error_the_caller_gets_and_the_outbox_remembers() {
    let world = World::new(1).await;
    let (levi, sync, session) = service(&world);
    levi.clear_context().await;
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(matches!(report.repository, Step::WillRetry(SyncError::NotAuthenticated)), "{report:?}");
    assert_eq!(levi.status().totals.control_rows, 3);

    let unknown = sync.sync_repository(&"8f14e45f-0000-4000-8000-000000000000".into()).await;
    assert!(matches!(unknown, Err(SyncError::RepositoryNotFound(_))));
    let status = sync.sync_session(&session.id, &world.repository, "finished").await;
    assert!(matches!(status, Err(SyncError::UnknownStatus(_))));
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_with_a_key_of_31_bytes_or_of_low_order_get_nothing_and_the_others_do() {
    let world = World::new(2).await;
    let short: DeviceId = uuid_of("device", "short").as_str().into();
    let low: DeviceId = uuid_of("device", "low").as_str().into();
    // 31 bytes, and the point of order one.
    world.register_with(&short, Some(format!("{}A==", "A".repeat(40) + "A"))).await;
    world.register_with(&low, Some(format!("{}=", "A".repeat(43)))).await;
    let (levi, sync, session) = service(&world);
    sync.sync_repository(&world.repository).await.unwrap();
    sync.sync_session(&session.id, &world.repository, "active").await.unwrap();

    let distribution = sync.distribute_secret_now(&session.id, &secret()).await.unwrap();
    let mut skipped: Vec<_> = distribution.skipped.iter().map(|(device, _)| device.clone()).collect();
    skipped.sort();
    let mut expected = vec![short, low];
    expected.sort();
    assert_eq!(skipped, expected);
    assert_eq!(distribution.delivered.len(), 2);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// It is looked for at the pace of retries, once for all sessions together.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_with_a_bad_key_costs_no_requests_for_each_session() {
    const SESSIONS: u64 = 30;
    let world = World::new(1).await;
    let broken: DeviceId = uuid_of("device", "broken").as_str().into();
    world.register_with(&broken, Some("not a key".into())).await;
    let (levi, sync, _) = service(&world);
    for number in 0..SESSIONS {
        let session = world.session(&number.to_string());
        sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    }
    let mut status = levi.watch_status();
    let tried_again = |status: &levi::Status| {
        status.incomplete_secrets == SESSIONS
            && status
                .waiting
                .iter()
                .any(|waiting| waiting.reason.code == "devices_skipped" && waiting.attempts >= 8)
    };
    status.wait_for(tried_again).await.unwrap();
    let stats = world.server.stats();
    assert_eq!(stats.table(Table::Secrets).posts, SESSIONS);
    // A look has two requests: only an empty page is the last one.
    let looks = stats.table(Table::Devices).gets / 2;
    assert!(looks <= SESSIONS + 4, "{looks} looks at the devices for {SESSIONS} sessions");
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_registered_cannot_hand_out_secrets() {
    let mut world = World::new(1).await;
    world.devices[0].0 = uuid_of("device", "never registered").as_str().into();
    let (levi, sync, session) = service(&world);
    let refused = sync.distribute_secret_now(&session.id, &secret()).await;
    assert!(matches!(refused, Err(SyncError::NoDeviceIdentity)), "{refused:?}");
    levi.shutdown(Duration::from_secs(5)).await;
}

/// It would wait for ever, so the caller is told the parent's reason at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_parent_is_parked_is_stored_and_not_waited_for() {
    let world = World::new(1).await;
    let (levi, sync, session) = service(&world);
    let refusal = Fault::Answer(Canned::error(400, "23514", "no"));
    world.server.faults().plan(Scope::table(Table::Sessions), Times::Next(1), refusal);
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(matches!(report.session, Step::Failed(_)), "{report:?}");
    let waits = sync.distribute_secret(&session.id, &secret()).await;
    assert!(matches!(&waits, Err(SyncError::Waiting(reason)) if reason.code == "23514"), "{waits:?}");

    // The session's row again, and by hand: the secret follows.
    sync.sync_session(&session.id, &world.repository, "active").await.unwrap();
    levi.watch_status().wait_for(|status| status.totals.control_rows == 0).await.unwrap();
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 1);
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_caller_of_session_sync_gets_the_same_service_and_no_other_devices() {
    let world = World::new(2).await;
    let (levi, first, session) = service(&world);
    let (device, device_key) = world.device_key(0);
    let second = levi.session_sync(device, device_key).unwrap();
    let (repository, id) = (&world.repository, &session.id);
    first.sync_repository(repository).await.unwrap();
    let (one, other) = tokio::join!(
        first.sync_session(id, repository, "active"),
        second.sync_session(id, repository, "paused")
    );
    // Neither waits for ever, whichever came last.
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    let (device, device_key) = world.device_key(1);
    assert!(matches!(levi.session_sync(device, device_key), Err(NotConnected::OtherDevice)));
    levi.shutdown(Duration::from_secs(5)).await;
    let late = first.sync_repository(repository).await;
    assert!(matches!(late, Err(SyncError::NotRecorded(_))), "{late:?}");
}

/// Issue-thread wish number one: a new device reads old sessions, after one call on a device that can.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_registered_later_reads_earlier_sessions_after_one_call() {
    let mut world = World::new(2).await;
    let (levi, sync, session) = service(&world);
    let elsewhere = SqliteSessionStore::open(world.path("second.sqlite"), database_key()).unwrap();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    let receipt = levi.enqueue_durable(request(&session.id, 1, "before you came")).await.unwrap();
    levi.synced(&receipt).await.unwrap();

    let later = world.register(2).await;
    assert!(world.reader(2).pull(&session.id, None, 10).await.is_err());
    // Not the session's own device does it, but the second one.
    let (device, device_key) = world.device_key(1);
    let second = SessionSyncService::with_parts(
        Arc::new(world.supabase()),
        Arc::new(elsewhere),
        Arc::clone(&world.auth) as Arc<dyn levi::Auth>,
        device,
        device_key,
        levi::SecretsCache::new(),
    );
    let report = second.share_with_device(&later).await.unwrap();
    assert_eq!((report.shared.len(), report.unreadable.len()), (1, 0));
    assert_eq!(read_all(&world.reader(2), &session.id).await, [(1, "before you came".to_owned())]);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// What many sessions cost beyond their envelopes: one request each for the owners and the keys, not one a session.
#[tokio::test(flavor = "multi_thread")]
async fn sharing_asks_for_the_owners_of_many_sessions_together() {
    const SESSIONS: usize = 20;
    let mut world = World::new(2).await;
    let key = database_key();
    let (store, secret) = (world.store(&key), secret());
    let levi = world.levi(world.config(), Arc::clone(&store), &key);
    let (device, device_key) = world.device_key(0);
    let first = levi.session_sync(device, device_key).unwrap();
    for number in 0..SESSIONS {
        let session = world.session(&number.to_string());
        store.save_session(&session).unwrap();
        store.save_secret(&session.id, &secret).unwrap();
        assert!(first.sync_new_session(&session.id, &world.repository, &secret).await.unwrap().is_done());
    }
    let later = world.register(2).await;
    // Not the sessions' own device does it, but the second one, which has to open each envelope.
    let (device, device_key) = world.device_key(1);
    let second = SessionSyncService::with_parts(
        Arc::new(world.supabase()),
        Arc::new(SqliteSessionStore::open(world.path("second.sqlite"), database_key()).unwrap()),
        Arc::clone(&world.auth) as Arc<dyn levi::Auth>,
        device,
        device_key,
        levi::SecretsCache::new(),
    );
    let before = world.server.stats().requests;
    let report = second.share_with_device(&later).await.unwrap();
    assert_eq!((report.shared.len(), report.unreadable.len()), (SESSIONS, 0), "{report:?}");
    // Devices twice (the end of a list is an empty page), envelopes twice, owners, the sender, the new envelopes.
    let requests = world.server.stats().requests - before;
    assert!(requests <= 7, "{requests} requests");
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A server that adds a device of its own gets nothing from a daemon that vouches for keys itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_the_daemon_does_not_vouch_for_gets_no_secret() {
    let world = World::new(2).await;
    let (levi, _, session) = service(&world);
    let (device, device_key) = world.device_key(0);
    let own = device.clone();
    let sync =
        levi.session_sync(device, device_key).unwrap().with_trust(Arc::new(move |device, _| *device == own));
    let secret = secret();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    let distribution = sync.distribute_secret_now(&session.id, &secret).await.unwrap();
    assert_eq!((distribution.delivered.len(), distribution.skipped.len()), (1, 1));
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 1);
    levi.shutdown(Duration::from_secs(5)).await;
}

/// The secret's row is in the outbox because of another device.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_the_daemon_vouches_for_later_gets_the_secrets_that_wait() {
    let world = World::new(2).await;
    let broken: DeviceId = uuid_of("device", "broken").as_str().into();
    world.register_with(&broken, Some("not a key".into())).await;
    let (levi, sync, session) = service(&world);
    let (own, vouched) = (world.devices[0].0.clone(), Arc::new(AtomicBool::new(false)));
    let trusts = Arc::clone(&vouched);
    let sync = sync.with_trust(Arc::new(move |device, _| *device == own || trusts.load(Ordering::SeqCst)));
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(matches!(report.secret, Step::WillRetry(SyncError::DevicesSkipped(_))), "{report:?}");
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 1);

    vouched.store(true, Ordering::SeqCst);
    let mut status = levi.watch_status();
    let is_given = status.wait_for(|_| world.server.row_count(Table::Secrets).unwrap() == 2);
    tokio::time::timeout(Duration::from_secs(30), is_given).await.unwrap().unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
}

/// What the builder was told to trust holds for reading too.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_opens_no_secret_of_a_device_the_daemon_does_not_vouch_for() {
    let world = World::new(2).await;
    let (levi, sync, session) = service(&world);
    sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    let (id, device_key) = world.device_key(1);
    let store = SqliteSessionStore::open(world.folder.path().join("other.sqlite"), database_key()).unwrap();
    let other = Levi::builder(world.http(), Arc::new(store))
        .config(world.config())
        .auth(world.auth.clone())
        .trust_only(Arc::new(|_, _| false))
        .build()
        .unwrap();
    let reader = other.reader(id, device_key).unwrap();
    assert!(reader.pull(&session.id, None, 10).await.is_err());
    assert!(world.reader(1).pull(&session.id, None, 10).await.is_ok());
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A row that was altered on the server is named with its number; those around it are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_altered_on_the_server_is_named_and_the_next_one_is_read() {
    let world = World::new(2).await;
    let (levi, sync, session) = service(&world);
    let secret = secret();
    sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    for number in 1..=3 {
        let receipt = levi.enqueue_durable(request(&session.id, number, "as written")).await.unwrap();
        levi.synced(&receipt).await.unwrap();
    }
    // The server moves the first message's ciphertext to the second's place.
    let stored = world.server.messages(&session.id).unwrap();
    let body = format!(
        r#"[{{"session_id":"{}","sequence_number":2,"content_encrypted":"{}","content_nonce":"{}"}}]"#,
        session.id, stored[0].content_encrypted, stored[0].content_nonce
    );
    let moved = levi_transport::Upsert {
        table: Table::Messages,
        columns: "session_id,sequence_number,content_encrypted,content_nonce".into(),
        body: body.into_bytes(),
    };
    levi::transport::Supabase::upsert(&world.supabase(), &world.auth.token(), moved).await.unwrap();

    let page = world.reader(1).pull(&session.id, None, 10).await.unwrap();
    let read: Vec<_> =
        page.messages.iter().map(|message| message.as_ref().map_err(|error| error.to_string())).collect();
    assert_eq!(read[0].as_ref().unwrap().content, "as written");
    assert!(read[1].as_ref().unwrap_err().contains("message 2 cannot be read"), "{read:?}");
    assert_eq!(read[2].as_ref().unwrap().content, "as written");
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A page of large messages is more than a response may hold: the reader asks for fewer.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_large_messages_is_read_in_smaller_pages() {
    let world = World::new(2).await;
    let (levi, sync, session) = service(&world);
    sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    let large = "large ".repeat(170_000);
    let mut last = None;
    for number in 1..=9 {
        last = Some(levi.enqueue_durable(request(&session.id, number, &large)).await.unwrap());
    }
    levi.synced(&last.unwrap()).await.unwrap();
    let read = read_all(&world.reader(1), &session.id).await;
    assert_eq!(read.len(), 9);
    assert!(read.iter().all(|(_, content)| *content == large));
    levi.shutdown(Duration::from_secs(5)).await;
}
