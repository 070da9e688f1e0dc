//! An operator's changes beside a Levi that runs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::time::Duration;

use levi::SyncError;
use levi::core::Step;
use levi::core::{SystemClock, rows_to_restore};
use levi::outbox::RowKind;
use levi::outbox::sqlite::{AdminCommand, Inspector, OutboxAdmin, OwnerNotice};
use levi::types::Clock as _;
use levi_outbox::sqlite::notify::notify_owner;
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use levi_transport::Table;
use world::{World, database_key, request, secret};

/// The owner sleeps without a timer when the row is unparked: only the wake-up socket can have woken it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_unparked_by_an_operator_is_sent_at_once_by_the_levi_that_owns_the_outbox() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    store.save_secret(&session.id, &secret()).unwrap();
    let outbox = world.outbox_path();
    assert!(notify_owner(&outbox).is_err(), "no process owns it yet");

    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    sync.sync_new_session(&session.id, &world.repository, &secret()).await.unwrap();
    let refusal = Fault::Answer(Canned::error(400, "22P05", "no"));
    world.server.faults().plan(Scope::table(Table::Messages), Times::Next(1), refusal);
    levi.enqueue_durable(request(&session.id, 1, "one")).await.unwrap();
    let mut status = levi.watch_status();
    let idle = status.wait_for(|status| status.totals.parked_rows == 1 && status.next_attempt.is_none());
    idle.await.unwrap();

    let row = Inspector::open(&outbox).unwrap().list(None, 1).unwrap()[0].id;
    let now = SystemClock::new().now().wall;
    let notice = OutboxAdmin::open(&outbox).unwrap().commit(&[AdminCommand::Unpark(row)], now).unwrap();
    assert_eq!(notice, OwnerNotice::Notified);
    status
        .wait_for(|status| status.totals.parked_rows == 0 && status.totals.pending_rows == 0)
        .await
        .unwrap();
    assert_eq!(world.server.messages(&session.id).unwrap().len(), 1);

    levi.shutdown(Duration::from_secs(5)).await;
    assert!(notify_owner(&outbox).is_err(), "the socket is removed");
}

/// The caller learns that nothing will send the row, and not after a minute.
#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_a_row_that_an_operator_discards_is_told_so() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    world.server.faults().plan(Scope::table(Table::Repositories), Times::Next(1), Fault::StallBeforeWrite);

    let secret = secret();
    let by_hand = async {
        while world.server.faults().fired() == 0 {
            tokio::task::yield_now().await;
        }
        let outbox = world.outbox_path();
        let rows = Inspector::open(&outbox).unwrap().list(None, 10).unwrap();
        let row = rows.iter().find(|row| row.kind == RowKind::Secret).unwrap().id;
        let now = SystemClock::new().now().wall;
        OutboxAdmin::open(&outbox).unwrap().commit(&[AdminCommand::Discard(row)], now).unwrap();
        // More than once, because the request may not be stalled yet.
        while world.server.row_count(Table::Repositories).unwrap() == 0 {
            world.server.faults().release();
            tokio::task::yield_now().await;
        }
    };
    let (report, ()) = tokio::join!(sync.sync_new_session(&session.id, &world.repository, &secret), by_hand);
    let report = report.unwrap();
    assert!(report.session.is_done(), "{report:?}");
    assert!(matches!(report.secret, Step::Failed(SyncError::Discarded)), "{report:?}");
    levi.shutdown(Duration::from_secs(5)).await;
}

/// A device with a bad key keeps the secret's row in the outbox. What is remembered of that row is not an answer for a
/// session that was deleted elsewhere and is written again: its envelopes were deleted with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_an_operator_restores_is_given_its_envelopes_again() {
    let world = World::new(1).await;
    world.register_with(&uuid_of("device", "broken").as_str().into(), Some("not a key".into())).await;
    let key = database_key();
    let (store, session, secret) = (world.store(&key), world.session("one"), secret());
    store.save_session(&session).unwrap();
    store.save_secret(&session.id, &secret).unwrap();
    let levi = world.levi(world.config(), store, &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let report = sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    assert!(matches!(report.secret, Step::WillRetry(SyncError::DevicesSkipped(_))), "{report:?}");
    world.server.delete_session(&session.id).unwrap();
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 0);

    let now = SystemClock::new().now().wall;
    let restore = AdminCommand::RestoreSession { rows: rows_to_restore(&session, now).into() };
    OutboxAdmin::open(world.outbox_path()).unwrap().commit(&[restore], now).unwrap();
    let mut status = levi.watch_status();
    status.wait_for(|_| world.server.row_count(Table::Sessions).unwrap() == 1).await.unwrap();
    let receipt = levi.enqueue_durable(request(&session.id, 1, "after")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    // The restored row was tried, and waits for the broken device again.
    let is_tried = |status: &levi::Status| {
        status.waiting.iter().any(|waiting| waiting.reason.code == "devices_skipped" && waiting.attempts >= 4)
    };
    status.wait_for(is_tried).await.unwrap();
    assert_eq!(world.server.row_count(Table::Secrets).unwrap(), 1);
    levi.shutdown(Duration::from_secs(5)).await;
}
