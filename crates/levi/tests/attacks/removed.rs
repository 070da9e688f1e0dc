//! A removed device, together with the server, and two devices that were one.

use std::time::Duration;

use levi::DeviceListState;
use levi::devices::Epoch;
use levi::devices::entry::ListRow;
use levi::devices::keyring::{Keyring, SealedKeyring};
use levi::devices::list::DeviceList;
use levi::transport::Table;
use levi_testkit::supabase::{Canned, Fault, Scope, Times};

use super::attacker::{keyring_rows, list_rows, write_version_2};
use super::devices::Device;
use super::two_devices;
use super::world::request;
use levi::SessionStore as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_with_the_server_opens_no_new_row_and_writes_none() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    // What the phone has when it is removed: its keys, the keyring, the session's secret.
    let rows = list_rows(&world.server).into_iter().map(|row| ListRow {
        slot: u64::try_from(row.slot).unwrap(),
        entry: row.entry,
        signature: row.signature,
        cosignature: row.cosignature,
    });
    let rows: Vec<ListRow> = rows.collect();
    let list =
        DeviceList::read(&world.user_id, DeviceList::geneses(&world.user_id, &rows)[0], &rows).unwrap();
    let row = keyring_rows(&world.server).into_iter().find(|row| row.member_id == phone.id).unwrap();
    let sealed = SealedKeyring::from_wire(Epoch::FIRST, &row.enc, &row.sealed).unwrap();
    let keyring = Keyring::open(&sealed, &list, &phone.id, &phone.keys).unwrap();
    let text = laptop.store.session_secret(&session.id).unwrap().unwrap();
    let secret = levi::SessionSecret::parse(text.expose()).unwrap();

    laptop.admin().remove(&phone.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    let read = phone.read(&session).await;
    assert!(read[0] == "one" && read[1].contains("UnknownEpoch"), "{read:?}");
    // It writes on in the epoch that it knows, with the server's help.
    let old = keyring.secret(Epoch::FIRST).unwrap();
    write_version_2(&world.server, &session.id, 3, &secret, (Epoch::FIRST, old), "forged");
    let second = Epoch::new(2).unwrap();
    write_version_2(&world.server, &session.id, 4, &secret, (second, old), "forged");
    laptop.send(&session, 5, &["five"]).await;
    let read = laptop.read(&session).await;
    assert_eq!((&read[0], &read[1], &read[4]), (&"one".into(), &"two".into(), &"five".into()));
    assert!(read[2].contains("StaleEpoch"), "{read:?}");
    assert!(read[3].contains("Forged"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_from_one_backup_a_removal_ends_both() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    // A copy has the same id and the same keys, so it is the same device to everybody.
    laptop.admin().remove(&phone.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    let _ = phone.admin().devices().await;
    phone.until(|state| matches!(state, DeviceListState::Stopped(_))).await;
    assert!(phone.read(&session).await[1].contains("UnknownEpoch"));
    // Its id and keys do not come back.
    let again = phone.admin().devices().await;
    assert!(again.is_err(), "{again:?}");
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    assert_eq!(tablet.read(&session).await, ["one", "two"]);
}

/// What the removed device knows is the epoch in which a row waits, not the one in which it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_while_a_device_is_removed_is_sent_in_the_new_epoch() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    let messages = Scope::table(Table::Messages).method("POST");
    let down = Fault::Answer(Canned::error(503, "57P03", "the database system is shutting down"));
    world.server.faults().plan(messages, Times::Always, down);
    let waiting = laptop.levi.enqueue_durable(request(&session.id, 2, "two")).await.unwrap();
    // The removal is a command's, beside the daemon, which looked at the list a moment ago.
    let admin = laptop.other_process(&world).device_list().unwrap();
    admin.remove(&phone.id).await.unwrap();
    world.server.faults().clear();
    laptop.levi.synced(&waiting).await.unwrap();
    laptop.send(&session, 3, &["three"]).await;
    for row in &world.server.messages(&session.id).unwrap()[1..] {
        assert!(row.content_nonce.starts_with("v2:2:"), "{row:?}");
    }
    assert_eq!(laptop.read(&session).await, ["one", "two", "three"]);
    let read = phone.read(&session).await;
    assert!(read[1].contains("UnknownEpoch") && read[2].contains("UnknownEpoch"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_slept_looks_at_the_list_before_it_sends() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    laptop.until_listed(1).await;
    phone.admin().remove(&tablet.id).await.unwrap();
    laptop.sleep(Duration::from_secs(8 * 3600));
    laptop.send(&session, 2, &["two"]).await;
    assert!(world.server.messages(&session.id).unwrap()[1].content_nonce.starts_with("v2:2:"));
    assert_eq!(laptop.read(&session).await, ["one", "two"]);
}
