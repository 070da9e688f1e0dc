//! An operator's changes beside a Levi that runs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::time::Duration;

use levi::{AdminCommand, Clock as _, Inspector, OutboxAdmin, OwnerNotice, SystemClock, outbox_path};
use levi_outbox::sqlite::notify::notify_owner;
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
    let outbox = outbox_path(&world.config());
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
