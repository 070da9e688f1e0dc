//! Garbage in place of what the recovery key needs on the day on which all devices are lost.

use std::time::Duration;

use levi::core::{Recovery, RecoveryEnvelopes};
use levi::devices::recovery::RecoveryKey;
use levi::transport::rows::{SecretRow, upsert_of};
use levi::transport::{Supabase as _, Table};
use levi::{CodingSession, DeviceId, SessionSecret};

use super::attacker::mint_envelope;
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
        let mut mended = laptop.sync().mend_recovery_envelopes().await.unwrap().mended;
        mended.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        let spoiled: Vec<_> = before.iter().map(|row| row.session_id.clone()).collect();
        assert_eq!(mended, spoiled, "{how:?}");
        // Every row is what it was, and what is right is not written again.
        assert_eq!(envelopes(&world, &recovery), before, "{how:?}");
        assert_eq!(laptop.sync().mend_recovery_envelopes().await.unwrap(), RecoveryEnvelopes::default());
    }
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), ..Recovery::default() };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    let report = new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert!(report.unreadable.is_empty(), "{report:?}");
    assert_eq!(new.read(&sessions[0]).await, ["one"]);
    assert_eq!(new.read(&sessions[1]).await, ["two"]);
}

/// A daemon finds it by itself, once a day while it sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_writes_overwritten_envelopes_of_the_recovery_key_again() {
    let (world, laptop, _key, sessions, recovery) = begun().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    phone.write(&world, "phone's", &["three"]).await;
    let before = envelopes(&world, &recovery);
    spoil(&world, &before, Spoil::Garbage).await;
    laptop.sleep(Duration::from_secs(25 * 3600));
    laptop.send(&sessions[0], 2, &["more"]).await;
    let of_laptop = |rows: Vec<SecretRow>| -> Vec<SecretRow> {
        let of_laptop = |row: &SecretRow| row.sender_device_id.as_ref() == Some(&laptop.id);
        rows.into_iter().filter(of_laptop).collect()
    };
    let own = of_laptop(before);
    let is_mended = |_: &_| own.iter().all(|row| envelopes(&world, &recovery).contains(row));
    world.server.wait_for(Duration::from_secs(20), is_mended).unwrap();
    // Of a device that was removed, another one answers for what it sealed.
    phone.sync().mend_recovery_envelopes().await.unwrap();
    assert!(of_laptop(envelopes(&world, &recovery)).is_empty());
    laptop.admin().remove(&phone.id).await.unwrap();
    assert_eq!(laptop.sync().mend_recovery_envelopes().await.unwrap().mended.len(), 3);
    assert_eq!(of_laptop(envelopes(&world, &recovery)).len(), 3);
}

/// Nobody else can tell what a device sealed from garbage, and it may be lost long before anybody removes it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_device_sealed_is_looked_after_by_another() {
    let (world, laptop, key, sessions, recovery) = begun().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    laptop.levi.shutdown(Duration::from_secs(5)).await;
    spoil(&world, &envelopes(&world, &recovery), Spoil::Garbage).await;
    let written = phone.sync().mend_recovery_envelopes().await.unwrap();
    assert_eq!((written.mended.len(), written.taken_over.len()), (0, 2));
    // From now on the phone compares them.
    spoil(&world, &envelopes(&world, &recovery), Spoil::Garbage).await;
    let written = phone.sync().mend_recovery_envelopes().await.unwrap();
    assert_eq!((written.mended.len(), written.taken_over.len()), (2, 0));
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), ..Recovery::default() };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    let report = new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert!(report.unreadable.is_empty(), "{report:?}");
    assert_eq!(new.read(&sessions[0]).await, ["one"]);
}

/// It does some of that by itself, so that nobody has to know that a device is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_seals_some_of_the_envelopes_of_others_anew() {
    let (world, laptop, _key, _, recovery) = begun().await;
    // None of so many is drawn once in ten million times.
    for number in 0..120 {
        laptop.begin(&world, &format!("session {number}")).await;
    }
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    // Its session sync seals.
    let own = phone.write(&world, "phone's", &["one"]).await;
    phone.sleep(Duration::from_secs(25 * 3600));
    phone.send(&own, 2, &["two"]).await;
    let of_phone = |row: &&SecretRow| row.sender_device_id.as_ref() == Some(&phone.id);
    let has_some = |_: &_| envelopes(&world, &recovery).iter().filter(of_phone).count() > 1;
    world.server.wait_for(Duration::from_secs(20), has_some).unwrap();
    assert!(!envelopes(&world, &recovery).iter().all(|row| of_phone(&row)));
}

/// An earlier envelope of this device opens, too, and takes no secret from the recovery key that it does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_envelope_that_is_put_back_takes_nothing_from_the_recovery_key() {
    let (world, laptop, _key, [session, _], recovery) = begun().await;
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    let before = envelopes(&world, &recovery);
    let (sender, recipient) = ((&laptop.id, &laptop.keys.envelope), (&phone.id, &phone.keys.envelope));
    let earlier = SessionSecret::generate(&mut rand::rng());
    mint_envelope(&world, &session.id, &earlier, sender, recipient);
    let written = phone.sync().mend_recovery_envelopes().await.unwrap();
    assert!(!written.taken_over.contains(&session.id), "{written:?}");
    let of_session = |row: &&SecretRow| row.session_id == session.id;
    let now = envelopes(&world, &recovery);
    assert_eq!(now.iter().find(of_session), before.iter().find(of_session));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_there_is_no_recovery_key_to_look_after() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(laptop.sync().mend_recovery_envelopes().await.unwrap(), RecoveryEnvelopes::default());
    assert_eq!(phone.read(&session).await, ["one"]);
}
