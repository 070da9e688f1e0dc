//! A user's devices that keep a signed list, from the first one to the recovery key, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod devices;
mod world;

use devices::Device;
use levi::core::Recovery;
use levi::transport::Table;
use levi::{DeviceListProblem, DeviceListState};
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
