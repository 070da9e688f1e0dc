//! A removed device, together with the server, and two devices that were one.

use levi::DeviceListState;
use levi::devices::Epoch;
use levi::devices::entry::ListRow;
use levi::devices::keyring::{Keyring, SealedKeyring};
use levi::devices::list::DeviceList;

use super::attacker::{keyring_rows, list_rows, write_version_2};
use super::devices::Device;
use super::two_devices;
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
