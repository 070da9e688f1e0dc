//! A removed device, together with the server, and two devices that were one.

use std::time::Duration;

use levi::core::DeviceListError;
use levi::devices::Epoch;
use levi::devices::keyring::{Keyring, SealedKeyring};
use levi::transport::Table;
use levi::{DeviceListProblem, DeviceListState};
use levi_testkit::supabase::{Canned, Fault, Scope, StoredMessage, Times};

use super::attacker::{keyring_of, keyring_rows, opens, the_list, write_version_2};
use super::devices::Device;
use super::envelopes::{deactivate, stored};
use super::world::request;
use super::{two_devices, two_devices_without_list};

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_with_the_server_opens_no_new_row_and_writes_none() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    // What the phone has when it is removed: its keys, the keyring, the session's secret.
    let keyring = keyring_of(&world, &phone, &the_list(&world));
    let secret = stored(&laptop, &session);

    laptop.admin().remove(&phone.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    let read = phone.read(&session).await;
    assert!(read[0] == "one" && read[1].contains("UnknownEpoch"), "{read:?}");
    // Nor does it with anything that it ever had, and no keyring on the server is for its keys any more.
    let rows = world.server.messages(&session.id).unwrap();
    let opened: Vec<bool> = rows.iter().map(|row| opens(&session.id, row, &secret, &keyring)).collect();
    assert_eq!(opened, [true, false]);
    for row in keyring_rows(&world.server) {
        let sealed = SealedKeyring::from_wire(Epoch::new(row.epoch).unwrap(), &row.enc, &row.sealed).unwrap();
        assert!(Keyring::open(&sealed, &the_list(&world), &row.member_id, &phone.keys).is_err());
    }
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
async fn without_a_list_a_device_that_was_deactivated_reads_on() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    deactivate(&world, &phone);
    laptop.send(&session, 2, &["two"]).await;
    assert_eq!(phone.read(&session).await, ["one", "two"]);
    // Of later sessions it is given nothing, until somebody makes its row active again.
    let later = laptop.write(&world, "later", &["three"]).await;
    assert!(phone.read(&later).await[0].contains("NoEnvelope"));
    assert_eq!(laptop.read(&later).await, ["three"]);
}

/// A copy has the same id and the same keys, so it is the same device to everybody.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_from_one_backup_a_removal_ends_both() {
    let (world, laptop, mut phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    let copy = phone.copy(&world).await;
    for device in [&phone, &copy] {
        device.until_listed(1).await;
        assert_eq!(device.read(&session).await, ["one"]);
    }
    laptop.admin().remove(&phone.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    for device in [&phone, &copy] {
        let _ = device.admin().devices().await;
        device.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::Removed)).await;
        let read = device.read(&session).await;
        assert!(read[0] == "one" && read[1].contains("UnknownEpoch"), "{}: {read:?}", device.name);
        // Its id and keys do not come back.
        let code = laptop.admin().invite().await.unwrap().expose_code();
        let code = levi::devices::pairing::PairingCode::parse(code.expose()).unwrap();
        let refused = device.admin().join(&code, "again", Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(refused, DeviceListError::AlreadyListed), "{refused}");
    }
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    assert_eq!(tablet.read(&session).await, ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_a_copy_reads_on_like_the_device_that_it_was() {
    let (world, laptop, mut phone) = two_devices_without_list().await;
    let copy = phone.copy(&world).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(copy.read(&session).await, ["one"]);
    deactivate(&world, &phone);
    laptop.send(&session, 2, &["two"]).await;
    assert_eq!(copy.read(&session).await, ["one", "two"]);
    assert_eq!(phone.read(&session).await, ["one", "two"]);
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

/// Two devices write one session, and one of them has not heard of the removal. Readers cannot tell it from the removed
/// one, as docs/trust.md says, until it sends the message again.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_member_that_has_not_heard_is_read_once_it_is_sent_again() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    laptop.admin().remove(&tablet.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    phone.send(&session, 3, &["three"]).await;
    assert!(world.server.messages(&session.id).unwrap()[2].content_nonce.starts_with("v2:1:"));
    let read = laptop.read(&session).await;
    assert!(read[..2] == ["one", "two"] && read[2].contains("StaleEpoch"), "{read:?}");
    phone.admin().devices().await.unwrap();
    let again = phone.levi.replace_durable(request(&session.id, 3, "three")).await.unwrap();
    phone.levi.synced(&again).await.unwrap();
    laptop.send(&session, 4, &["four"]).await;
    for device in [&laptop, &phone] {
        assert_eq!(device.read(&session).await, ["one", "two", "three", "four"], "{}", device.name);
    }
}

/// The same, and the member's daemon does it by itself. What it has replaced meanwhile stays replaced.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_sent_before_it_heard_is_sealed_again_once_it_hears() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    laptop.admin().remove(&tablet.id).await.unwrap();
    laptop.send(&session, 2, &["two"]).await;
    phone.send(&session, 3, &["three", "a draft"]).await;
    let edit = phone.levi.replace_durable(request(&session.id, 4, "four")).await.unwrap();
    phone.levi.synced(&edit).await.unwrap();
    let read = laptop.read(&session).await;
    assert!(read[2].contains("StaleEpoch") && read[3].contains("StaleEpoch"), "{read:?}");
    // A minute later it looks at the list, because it has something to send.
    phone.sleep(Duration::from_secs(3600));
    phone.send(&session, 5, &["five"]).await;
    let epoch_of = |row: &StoredMessage| row.content_nonce.split(':').nth(1).map(str::to_owned);
    let is_mended = |_: &_| {
        let rows = world.server.messages(&session.id).unwrap();
        rows[1..].iter().all(|row| epoch_of(row).as_deref() == Some("2"))
    };
    world.server.wait_for(Duration::from_secs(20), is_mended).unwrap();
    let desk = Device::new(&world, "desk").await;
    laptop.pair(&desk).await;
    for device in [&laptop, &phone, &desk] {
        let read = device.read(&session).await;
        assert_eq!(read, ["one", "two", "three", "four", "five"], "{}", device.name);
    }
}

/// What is kept for that is bounded, so a member that sends much within the minute hears sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_sends_much_hears_of_a_removal_before_it_forgets_what_it_sent() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    phone.send(&session, 2, &["two"]).await;
    laptop.admin().remove(&tablet.id).await.unwrap();
    let much = "much ".repeat(150_000);
    phone.send(&session, 3, &[&*much; 6]).await;
    let is_sealed_again = |_: &_| {
        let rows = world.server.messages(&session.id).unwrap();
        rows[2..].iter().all(|row| row.content_nonce.starts_with("v2:2:"))
    };
    world.server.wait_for(Duration::from_secs(20), is_sealed_again).unwrap();
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
