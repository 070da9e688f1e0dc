//! Reads of many rows over real sockets: from servers that cut, time out, lie and hide, and with keys that change.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use levi::core::{MessageError, UnreadableMessage};
use levi::transport::{Table, Upsert, Verdict};
use levi::{
    DeviceId, DevicePrivateKey, HttpSupabase, Page, ReadError, Reader, SecretsCache, SessionId,
    SessionSyncService, SqliteSessionStore, SyncError,
};
use levi_outbox::backoff::Backoff;
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::{Canned, FakeSupabase, Fault, ReadFault, Scope, Times};
use levi_transport::rows::encode_message_row;
use world::{World, database_key, read_all, request, secret};

const QUICK: Backoff = Backoff { base: Duration::from_millis(1), max: Duration::from_millis(4), jitter: 0.0 };

/// A session of the first device with `messages` messages, shared with every device.
async fn written(world: &World, messages: i64) -> (levi::Levi, SessionSyncService, SessionId) {
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    write(&levi, &session.id, 0..messages).await;
    (levi, sync, session.id)
}

async fn write(levi: &levi::Levi, session: &SessionId, numbers: std::ops::Range<i64>) {
    let mut last = None;
    for number in numbers {
        last = Some(levi.enqueue_durable(request(session, number, &format!("text {number}"))).await.unwrap());
    }
    if let Some(last) = last {
        levi.synced(&last).await.unwrap();
    }
}

fn texts(numbers: impl IntoIterator<Item = i64>) -> Vec<(i64, String)> {
    numbers.into_iter().map(|number| (number, format!("text {number}"))).collect()
}

fn quick(world: &World, device: usize) -> Reader {
    world.reader(device).with_retries(QUICK, 4)
}

/// Puts a row into the session that nobody sealed.
fn garbage(world: &World, session: &SessionId, number: i64, bytes: usize) {
    let mut body = vec![b'['];
    encode_message_row(&mut body, session, number, &vec![7; bytes], &[7; 24]);
    body.push(b']');
    let columns = Table::Messages.columns().into();
    world.server.seed(Upsert { table: Table::Messages, columns, body }).unwrap();
}

/// What can be read, and the numbers of what cannot.
async fn read_with_errors(
    reader: &Reader,
    session: &SessionId,
    mut after: Option<i64>,
) -> (Vec<(i64, String)>, Vec<UnreadableMessage>, Option<i64>) {
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let Page { messages, cursor } = reader.pull(session, after, 500).await.unwrap();
        for message in messages {
            match message {
                Ok(message) => read.push((message.sequence_number, message.content)),
                Err(error) => unreadable.push(error),
            }
        }
        if cursor.is_none() {
            return (read, unreadable, after);
        }
        after = cursor;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cuts_every_answer_keeps_no_device_and_no_message_back() {
    for max_rows in [1, 2] {
        let world = World::on(FakeSupabase::builder().max_rows(max_rows).start().unwrap(), 5).await;
        let (levi, sync, session) = written(&world, 7).await;
        for device in 0..5 {
            assert_eq!(read_all(&world.reader(device), &session).await, texts(0..7), "{max_rows}, {device}");
        }
        let distribution = sync.distribute_secret_now(&session, &secret()).await.unwrap();
        assert_eq!(distribution.delivered.len(), 5);
        levi.shutdown(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_runs_into_the_statement_timeout_is_made_smaller_and_that_is_remembered() {
    let world = World::new(2).await;
    let (levi, _sync, session) = written(&world, 300).await;
    world.server.faults().reads(ReadFault::TimesOutAbove { rows: 20 });
    let reader = quick(&world, 1);
    assert_eq!(read_all(&reader, &session).await, texts(0..300));
    let timeouts = || world.server.requests().iter().filter(|request| request.status == Some(500)).count();
    let first = timeouts();
    assert!((1..25).contains(&first), "{first}");
    assert_eq!(read_all(&reader, &session).await, texts(0..300));
    assert!(timeouts() - first <= 4, "the size that worked is remembered: {} then {}", first, timeouts());
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lying_server_keeps_a_read_going() {
    let world = World::new(3).await;
    let (levi, sync, session) = written(&world, 8).await;
    for fault in
        [ReadFault::IgnoresCursor, ReadFault::IgnoresLimit, ReadFault::SortsBackwards, ReadFault::RepeatsRows]
    {
        let before = world.server.stats().requests;
        world.server.faults().reads(fault);
        let reader = quick(&world, 1);
        let mut after = None;
        let refused = loop {
            match reader.pull(&session, after, 3).await {
                Ok(page) => {
                    after = Some(page.cursor.unwrap_or_else(|| panic!("{fault:?}: it came to an end")))
                }
                Err(error) => break error,
            }
        };
        assert!(
            matches!(&refused, ReadError::Supabase(error) if error.code == "bad_page"),
            "{fault:?}: {refused}"
        );
        let shared = sync.share_with_device(&world.devices[2].0).await;
        let named =
            |error: &SyncError| matches!(error, SyncError::Supabase(error) if error.code == "bad_page");
        let whole = fault == ReadFault::IgnoresLimit;
        assert!(shared.as_ref().is_err_and(named) || whole, "{fault:?}: {shared:?}");
        assert!(world.server.stats().requests - before < 40, "{fault:?}");
        world.server.faults().clear();
    }
    assert_eq!(read_all(&quick(&world, 1), &session).await, texts(0..8));
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_and_not_for_ever() {
    let world = World::new(2).await;
    let (levi, _sync, session) = written(&world, 3).await;
    let gets = || Scope::rest().method("GET");
    let busy = || Fault::Answer(Canned::error(503, "PGRST001", "no connection").header("Retry-After", "0"));
    let reader = quick(&world, 1);
    world.server.faults().plan(gets(), Times::Next(2), busy());
    world.server.faults().plan(gets(), Times::Next(1), Fault::ResetBeforeWrite);
    assert_eq!(read_all(&reader, &session).await, texts(0..3));
    world.server.faults().plan(gets(), Times::Always, busy());
    let before = world.server.stats().requests;
    let refused = reader.pull(&session, None, 100).await;
    assert!(
        matches!(&refused, Err(ReadError::Supabase(error)) if error.verdict == Verdict::Busy),
        "{refused:?}"
    );
    assert_eq!(world.server.stats().requests - before, 5, "one and four retries");
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_the_sessions_key_moves_no_cursor_past_later_messages() {
    let world = World::new(2).await;
    let (levi, _sync, session) = written(&world, 3).await;
    garbage(&world, &session, i64::MAX, 20);
    let reader = quick(&world, 1);
    let (read, unreadable, cursor) = read_with_errors(&reader, &session, None).await;
    assert_eq!((read, cursor), (texts(0..3), Some(2)));
    assert_eq!(unreadable.iter().map(|row| row.sequence_number).collect::<Vec<_>>(), [i64::MAX]);
    // Among others it is passed.
    garbage(&world, &session, 3, 20);
    write(&levi, &session, 4..6).await;
    let (read, unreadable, cursor) = read_with_errors(&reader, &session, cursor).await;
    assert_eq!((read, cursor), (texts(4..6), Some(5)));
    assert_eq!(unreadable.iter().map(|row| row.sequence_number).collect::<Vec<_>>(), [3, i64::MAX]);
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_longer_than_any_answer_is_named_and_the_others_are_read() {
    let world = World::new(2).await;
    let (levi, _sync, session) = written(&world, 3).await;
    garbage(&world, &session, 3, 100_000);
    write(&levi, &session, 4..9).await;
    let mut options = world.http();
    options.max_response_bytes = 50_000;
    let (device, key) = world.device_key(1);
    let supabase = Arc::new(HttpSupabase::new(&options).unwrap());
    let reader = Reader::new(supabase, world.auth.clone(), device, key, SecretsCache::new());
    let (read, unreadable, _) = read_with_errors(&reader, &session, None).await;
    assert_eq!(read, texts((0..3).chain(4..9)));
    assert_eq!(unreadable[0].sequence_number, 3);
    assert!(matches!(&unreadable[0].error, MessageError::NotFetched(_)), "{unreadable:?}");
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_skipped_gets_its_secret_when_its_key_can_be_used() {
    let world = World::new(1).await;
    let broken: DeviceId = uuid_of("device", "broken").as_str().into();
    world.register_with(&broken, Some("not a key".into())).await;
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let levi = world.levi(world.config(), store.clone(), &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    assert!(
        matches!(&report.secret, levi::core::Step::WillRetry(SyncError::DevicesSkipped(_))),
        "{report:?}"
    );
    write(&levi, &session.id, 0..1).await;
    levi.watch_status().wait_for(|status| status.incomplete_secrets == 1).await.unwrap();
    levi.shutdown(Duration::from_secs(5)).await;

    // The next process looks for it too.
    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let _sync = levi.session_sync(device, device_key).unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|status| status.incomplete_secrets == 1).await.unwrap();

    let private = DevicePrivateKey::generate(&mut rand::rng());
    world.register_with(&broken, Some(private.public_key().to_base64())).await;
    let done = |status: &levi::Status| status.incomplete_secrets == 0 && status.totals.control_rows == 0;
    status.wait_for(done).await.unwrap();
    let supabase = Arc::new(world.supabase());
    let reader = Reader::new(supabase, world.auth.clone(), broken, private, SecretsCache::new());
    assert_eq!(read_all(&reader, &session.id).await, texts(0..1));
    levi.shutdown(Duration::from_secs(5)).await;
}

/// Whoever can write to the table cannot have this device's secrets sealed for a key of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_devices_own_key_is_its_own_whatever_the_table_shows() {
    let world = World::new(2).await;
    let other = DevicePrivateKey::generate(&mut rand::rng());
    world.register_with(&world.devices[0].0, Some(other.public_key().to_base64())).await;
    let (levi, _sync, session) = written(&world, 2).await;
    let thief = Reader::new(
        Arc::new(world.supabase()),
        world.auth.clone(),
        world.devices[0].0.clone(),
        other,
        SecretsCache::new(),
    );
    assert!(matches!(thief.pull(&session, None, 10).await, Err(ReadError::Envelope(_))));
    assert_eq!(read_all(&world.reader(0), &session).await, texts(0..2));
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A secret and a device's key are replaced: readers that run and readers that start again read old and new messages.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_readable_stays_readable_when_keys_are_replaced() {
    let mut world = World::new(2).await;
    let (levi, sync, session) = written(&world, 2).await;
    let store = Arc::new(SqliteSessionStore::open(world.path("phone.sqlite"), database_key()).unwrap());
    let reader = |world: &World| quick(world, 1).with_store(store.clone());
    let running = reader(&world);
    assert_eq!(read_all(&running, &session).await, texts(0..2));

    sync.distribute_secret(&session, &secret()).await.unwrap();
    write(&levi, &session, 2..4).await;
    assert_eq!(
        read_all(&running, &session).await,
        texts(0..4),
        "fetched once more before anybody is accused"
    );
    assert_eq!(read_all(&reader(&world), &session).await, texts(0..4), "and kept");
    levi.shutdown(Duration::from_secs(5)).await;

    // The owner's key is replaced under the same id, and so the envelopes are of a key that no table shows.
    let replaced = DevicePrivateKey::generate(&mut rand::rng());
    let owner = world.devices[0].0.clone();
    world.register_with(&owner, Some(replaced.public_key().to_base64())).await;
    world.devices[0].1 = *replaced.expose_bytes();
    assert_eq!(read_all(&reader(&world), &session).await, texts(0..4));
    // Nothing is known to a device that never read: it is told what to do, and nobody is accused.
    let refused = world.reader(1).pull(&session, None, 10).await.unwrap_err();
    assert!(refused.to_string().contains("share the session again"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_is_opened_for_the_session_that_was_asked_for() {
    let world = World::new(2).await;
    let (levi, sync, session) = written(&world, 1).await;
    let other = world.session("two").id;
    sync.sync_session(&other, &world.repository, "active").await.unwrap();
    sync.distribute_secret(&other, &secret()).await.unwrap();
    // The server answers the question for one session with the envelope of the other.
    let rows = world.server.rows(Table::Secrets).unwrap();
    let device = world.devices[1].0.as_str();
    let foreign =
        rows.iter().find(|row| row["session_id"] == other.as_str() && row["device_id"] == device).unwrap();
    let body = serde_json::to_vec(&[foreign]).unwrap();
    let answer = Canned::new(200).header("Content-Type", "application/json").body(body);
    world.server.faults().plan(
        Scope::table(Table::Secrets).method("GET"),
        Times::Next(1),
        Fault::Answer(answer),
    );
    let refused = quick(&world, 1).session_secret(&session).await;
    assert!(matches!(refused, Err(ReadError::Envelope(_))), "{refused:?}");
    levi.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_other_spellings_are_refused_at_every_door() {
    let world = World::new(1).await;
    let (levi, sync, session) = written(&world, 1).await;
    let upper: SessionId = session.as_str().to_uppercase().into();
    let enqueued = levi.enqueue_durable(request(&"chat-1".into(), 1, "x")).await;
    assert!(enqueued.unwrap_err().to_string().contains("chat-1"));
    assert!(matches!(quick(&world, 0).pull(&upper, None, 1).await, Err(ReadError::NotAUuid(_))));
    let shared = sync.share_with_device(&world.devices[0].0.as_str().to_uppercase().into()).await;
    assert!(matches!(shared, Err(SyncError::NotAUuid(_))), "{shared:?}");
    let (device, key) = world.device_key(0);
    let upper: DeviceId = device.as_str().to_uppercase().into();
    assert!(
        levi.reader(upper.clone(), key.clone()).is_err_and(|error| error == levi::NotConnected::NotAUuid)
    );
    assert!(levi.session_sync(upper, key).is_err());
    levi.shutdown(Duration::from_secs(5)).await;
}
