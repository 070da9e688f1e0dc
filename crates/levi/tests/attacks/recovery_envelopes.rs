//! Garbage in place of what the recovery key needs on the day on which all devices are lost.

use std::time::Duration;

use levi::core::Recovery;
use levi::devices::recovery::RecoveryKey;
use levi::transport::rows::{SecretRow, upsert_of};
use levi::transport::{Supabase as _, Table};
use levi::{CodingSession, DeviceId};

use super::devices::Device;
use super::two_devices_without_list;
use super::world::World;

/// The recovery key's envelopes, by session.
fn envelopes(world: &World, recovery: &DeviceId) -> Vec<SecretRow> {
    let rows = world.server.rows(Table::Secrets).unwrap().into_iter();
    let rows = rows.map(|row| serde_json::from_value(row.into()).unwrap());
    let mut rows: Vec<SecretRow> = rows.filter(|row: &SecretRow| row.device_id == *recovery).collect();
    rows.sort_by(|one, other| one.session_id.as_str().cmp(other.session_id.as_str()));
    rows
}

/// What the holder of a token makes of an envelope. Its form stays that of an envelope.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    Garbage,
    Deleted,
    /// In the name of the recovery key itself, which is no device.
    InAnotherName,
    OfAnotherSession,
}

async fn spoil(world: &World, rows: &[SecretRow], how: Spoil) {
    if let Spoil::Deleted = how {
        return world.server.delete_envelopes_for(&rows[0].device_id).unwrap();
    }
    let spoiled = rows.iter().zip(rows.iter().cycle().skip(1)).map(|(row, next)| match how {
        Spoil::Garbage => SecretRow { encrypted_secret: altered(&row.encrypted_secret), ..row.clone() },
        Spoil::Deleted => row.clone(),
        Spoil::InAnotherName => SecretRow {
            encrypted_secret: altered(&row.encrypted_secret),
            sender_device_id: Some(row.device_id.clone()),
            ..row.clone()
        },
        Spoil::OfAnotherSession => SecretRow { session_id: row.session_id.clone(), ..next.clone() },
    });
    let spoiled: Vec<SecretRow> = spoiled.collect();
    world.supabase().upsert(&world.auth.token(), upsert_of(&spoiled)).await.unwrap();
    assert_ne!(envelopes(world, &rows[0].device_id), rows, "{how:?}");
}

/// Another text of the same form.
fn altered(base64: &str) -> String {
    let other = if base64.starts_with('A') { "B" } else { "A" };
    format!("{other}{}", &base64[1..])
}

async fn begun() -> (World, Device, RecoveryKey, [CodingSession; 2], DeviceId) {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let sessions = [laptop.write(&world, "s", &["one"]).await, laptop.write(&world, "t", &["two"]).await];
    let members = laptop.admin().devices().await.unwrap();
    let recovery = members.into_iter().find(|member| member.name == "recovery key").unwrap().id;
    (world, laptop, key, sessions, recovery)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_recovery_keys_envelopes_is_found_before_the_key_is_needed() {
    let (world, laptop, key, sessions, recovery) = begun().await;
    let before = envelopes(&world, &recovery);
    for how in [Spoil::Garbage, Spoil::Deleted, Spoil::InAnotherName, Spoil::OfAnotherSession] {
        spoil(&world, &before, how).await;
        let mut mended = laptop.sync().mend_recovery_envelopes().await.unwrap();
        mended.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let spoiled: Vec<_> = before.iter().map(|row| row.session_id.clone()).collect();
        assert_eq!(mended, spoiled, "{how:?}");
        // Every row is what it was, and what is right is not written again.
        assert_eq!(envelopes(&world, &recovery), before, "{how:?}");
        assert!(laptop.sync().mend_recovery_envelopes().await.unwrap().is_empty(), "{how:?}");
    }
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), ..Recovery::default() };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    let report = new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert!(report.unreadable.is_empty(), "{report:?}");
    assert_eq!(new.read(&sessions[0]).await, ["one"]);
    assert_eq!(new.read(&sessions[1]).await, ["two"]);
}

/// A daemon finds it by itself, once a day while it sends. What another device sealed, that one compares.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_writes_overwritten_envelopes_of_the_recovery_key_again() {
    let (world, laptop, _key, sessions, recovery) = begun().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    phone.write(&world, "phone's", &["three"]).await;
    let before = envelopes(&world, &recovery);
    spoil(&world, &before, Spoil::Garbage).await;
    assert_eq!(phone.sync().mend_recovery_envelopes().await.unwrap().len(), 1);
    // Of a device that was removed, another one answers for what it sealed.
    laptop.sleep(Duration::from_secs(25 * 3600));
    laptop.send(&sessions[0], 2, &["more"]).await;
    let is_mended = |_: &_| envelopes(&world, &recovery) == before;
    world.server.wait_for(Duration::from_secs(20), is_mended).unwrap();
    laptop.admin().remove(&phone.id).await.unwrap();
    assert_eq!(laptop.sync().mend_recovery_envelopes().await.unwrap().len(), 1);
    assert!(envelopes(&world, &recovery).iter().all(|row| row.sender_device_id.as_ref() == Some(&laptop.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_there_is_no_recovery_key_to_look_after() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert!(laptop.sync().mend_recovery_envelopes().await.unwrap().is_empty());
    assert_eq!(phone.read(&session).await, ["one"]);
}
