//! A user's devices that keep a signed list, from the first one to the recovery key, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod devices;
mod world;

use devices::Device;
use levi::core::Recovery;
use levi::transport::Table;
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
