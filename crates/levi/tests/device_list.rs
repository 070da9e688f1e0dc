//! A user's devices that keep a signed list, from the first one to the recovery key, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod devices;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use devices::Device;
use levi::core::{DeviceListError, Recovery};
use levi::devices::pairing::PairingCode;
use levi::devices::recovery::RecoveryKey;
use levi::transport::Table;
use levi::types::DeviceListStore as _;
use levi::{DeviceListProblem, DeviceListState};
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_paired_removed_and_recovered() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let recovery_key = laptop.init().await;
    laptop.until_listed(1).await;
    let first = laptop.write(&world, "first", &["one", "two"]).await;
    let nonces = world.server.messages(&first.id).unwrap();
    assert!(nonces.iter().all(|row| row.content_nonce.starts_with("v2:1:")), "{nonces:?}");

    let phone = Device::new(&world, "phone").await;
    phone.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::NotOnList)).await;
    laptop.pair(&phone).await;
    assert_eq!(phone.read(&first).await, ["one", "two"]);
    assert_eq!(
        phone.admin().verify_code().await.unwrap().to_string(),
        laptop.admin().verify_code().await.unwrap().to_string(),
    );
    // What the new device writes is read on the old one.
    let second = phone.write(&world, "second", &["three"]).await;
    assert_eq!(laptop.read(&second).await, ["three"]);

    let stolen = phone.admin().find("laptop").await.unwrap();
    phone.admin().remove(&stolen.id).await.unwrap();
    phone.until_listed(2).await;
    phone.send(&first, 3, &["after the removal"]).await;
    assert_eq!(phone.read(&first).await, ["one", "two", "after the removal"]);
    let refused = laptop.read(&first).await;
    assert_eq!(refused[..2], ["one", "two"]);
    assert!(refused[2].contains("UnknownEpoch"), "{refused:?}");
    laptop.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::Removed)).await;

    // All devices are lost.
    let new = Device::new(&world, "new laptop").await;
    let how = Recovery { name: "new laptop".into(), ..Recovery::default() };
    let recovery = new.admin().recover(&recovery_key, &how).await.unwrap();
    let report = new.levi.share_as_recovery_key(&recovery, &recovery_key).await.unwrap();
    assert!(report.unreadable.is_empty() && report.shared.len() == 2, "{report:?}");
    assert_eq!(new.read(&first).await, ["one", "two", "after the removal"]);
    assert_eq!(new.read(&second).await, ["three"]);
    new.until_listed(3).await;
    assert_eq!(
        new.admin().devices().await.unwrap().iter().filter(|device| device.removed_ms.is_none()).count(),
        2
    );
    assert_eq!(world.server.row_count(Table::DeviceList).unwrap(), 4);
}

/// The removal is on the list, and the keyrings of the new epoch are not: nobody but the device that began the epoch can
/// write them.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_interrupted_after_its_entry_writes_the_keyrings_later() {
    let world = World::new(0).await;
    let mut laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let (phone, stolen) = (Device::new(&world, "phone").await, Device::new(&world, "stolen").await);
    laptop.pair(&phone).await;
    laptop.pair(&stolen).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    let keyrings = Scope::table(Table::Keyrings).method("POST");
    let down = Fault::Answer(Canned::error(503, "57P03", "the database system is shutting down"));
    world.server.faults().plan(keyrings, Times::Always, down);
    laptop.admin().remove(&stolen.id).await.unwrap_err();
    // The process ends here, and the phone cannot go on.
    laptop.restart(&world).await;
    let _ = phone.admin().devices().await;
    phone.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::NoKeyring)).await;
    world.server.faults().clear();
    // The laptop finds out that it has to write them, and tries until they are written.
    laptop.until_listed(2).await;
    laptop.send(&session, 2, &["two"]).await;
    phone.until_listed(2).await;
    assert_eq!(phone.read(&session).await, ["one", "two"]);
    assert!(!stolen.read(&session).await.join(" ").contains("two"));
}

/// The one that removed a device is lost before it wrote the keyrings, so nobody has the secret of the new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_does_without_an_epoch_whose_secret_was_lost_with_its_device() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let recovery_key = laptop.init().await;
    let (phone, stolen) = (Device::new(&world, "phone").await, Device::new(&world, "stolen").await);
    laptop.pair(&phone).await;
    laptop.pair(&stolen).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    let keyrings = Scope::table(Table::Keyrings).method("POST");
    let down = Fault::Answer(Canned::error(503, "57P03", "the database system is shutting down"));
    world.server.faults().plan(keyrings, Times::Always, down);
    laptop.admin().remove(&stolen.id).await.unwrap_err();
    laptop.levi.shutdown(std::time::Duration::from_secs(5)).await;
    world.server.faults().clear();

    let new = Device::new(&world, "new laptop").await;
    let how = Recovery { name: "new laptop".into(), keep: vec![phone.id.clone()], ..Recovery::default() };
    // Only a person gives an epoch up.
    let refused = new.admin().recover(&recovery_key, &how).await.unwrap_err();
    let DeviceListError::OlderKeyring { after, .. } = refused else { panic!("{refused}") };
    let how = Recovery { after: Some(after), ..how };
    let recovery = new.admin().recover(&recovery_key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &recovery_key).await.unwrap();
    assert_eq!(new.read(&session).await, ["one"]);
    // Whoever was removed stays removed.
    phone.admin().devices().await.unwrap();
    phone.until_listed(3).await;
    let devices = new.admin().devices().await.unwrap();
    let active: Vec<&str> = devices
        .iter()
        .filter(|device| device.removed_ms.is_none())
        .map(|device| device.name.as_str())
        .collect();
    assert_eq!(active, ["recovery key", "phone", "new laptop"]);
}

/// Another process on the same folder stores what it has heard, which is less, while the server answers this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_another_process_overtook_is_made_again() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let (phone, tablet) = (Device::new(&world, "phone").await, Device::new(&world, "tablet").await);
    laptop.pair(&phone).await;
    laptop.pair(&tablet).await;
    let _ = phone.admin().devices().await;
    phone.until(|state| matches!(state, DeviceListState::Listed { devices: 3, .. })).await;
    laptop.admin().remove(&tablet.id).await.unwrap();
    let (store, user, is_done) = (Arc::clone(&phone.store), world.user_id.clone(), AtomicBool::new(false));
    phone.server.rewrite(move |select, body| {
        if select.table == Table::DeviceList && !is_done.swap(true, Ordering::AcqRel) {
            let before = store.device_list(&user).unwrap().unwrap();
            // The same, in other bytes.
            let after = [before.as_slice(), b" "].concat();
            assert!(store.replace_device_list(&user, Some(&before), &after).unwrap());
        }
        body
    });
    assert_eq!(phone.admin().state().await.unwrap(), DeviceListState::Listed { epoch: 2, devices: 2 });
}

/// A daemon that waits because it is on no list hears from a command on the same folder that it is on one by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_with_what_a_command_made_of_the_list() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let phone = Device::new(&world, "phone").await;
    phone.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::NotOnList)).await;
    // The server wants no other look for an hour.
    let busy =
        Canned::error(503, "57P03", "the database system is shutting down").header("Retry-After", "3600");
    let looks = Scope::table(Table::DeviceList).method("GET");
    world.server.faults().plan(looks, Times::Next(1), Fault::Answer(busy));
    let is_told = |_: &_| world.server.faults().fired() == 1;
    world.server.wait_for(Duration::from_secs(20), is_told).unwrap();
    let command = phone.other_process(&world);
    let admin = laptop.admin();
    let invitation = admin.invite().await.unwrap();
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let join = tokio::spawn(async move {
        let admin = command.device_list().unwrap().with_poll_interval(Duration::from_millis(5));
        admin.join(&code, "phone", Duration::from_secs(20)).await
    });
    let asked = invitation.request(Duration::from_secs(20)).await.unwrap();
    invitation.accept(asked).await.unwrap();
    join.await.unwrap().unwrap();
    phone.levi.written_elsewhere();
    phone.until_listed(1).await;
}

/// Another process writes to the outbox, and to what is stored of the list, as often as it likes: the server is asked after
/// 1, 2, 4 and more seconds all the same.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_that_writes_a_lot_makes_a_daemon_that_waits_ask_no_sooner() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.init().await;
    let phone = Device::new(&world, "phone").await;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    phone.server.rewrite(move |select, body| {
        if select.table == Table::DeviceList {
            counted.fetch_add(1, Ordering::AcqRel);
        }
        body
    });
    phone.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::NotOnList)).await;
    let reader = laptop.reader();
    for is_news in [false, true].into_iter().cycle().take(100) {
        if is_news {
            let before = phone.store.device_list(&world.user_id).unwrap().unwrap();
            // The same, in other bytes.
            let after = [before.as_slice(), b" "].concat();
            phone.store.replace_device_list(&world.user_id, Some(&before), &after).unwrap();
        }
        phone.levi.written_elsewhere();
        // For as long as a request takes.
        reader.devices().await.unwrap();
    }
    // As many as are made in more than a minute.
    assert!(looks.load(Ordering::Acquire) <= 7, "{looks:?}");
}

/// The device that replaces the recovery key is lost right after its entry: the new key opens the history.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_recovery_key_recovers_although_its_device_was_lost_at_once() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let old = laptop.init().await;
    let new_key = RecoveryKey::generate(&mut rand::rng());
    // The insert of the entry is the last request that arrives.
    let list = Scope::table(Table::DeviceList).method("POST");
    world.server.faults().plan(list, Times::Next(1), Fault::ResetAfterWrite);
    laptop.admin().replace_recovery_key(&old, &new_key).await.unwrap_err();
    laptop.levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!(world.server.row_count(Table::DeviceList).unwrap(), 2);

    let new = Device::new(&world, "new laptop").await;
    let how = Recovery { name: "new laptop".into(), ..Recovery::default() };
    new.admin().recover(&new_key, &how).await.unwrap();
    new.until_listed(3).await;
    let again = new.write(&world, "t", &["two"]).await;
    assert_eq!(new.read(&again).await, ["two"]);
}
