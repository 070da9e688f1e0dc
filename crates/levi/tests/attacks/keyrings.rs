//! Keyrings that are not what the signed list commits to.

use std::time::Duration;

use levi::core::{DeviceListError, Recovery};
use levi::devices::draft::Stamp;
use levi::devices::entry::SignedEntry;
use levi::devices::keyring::KeyringError;
use levi::devices::{Epoch, EpochSecret};
use levi::transport::rows::{KeyringRow, upsert_of};
use levi::transport::{Supabase as _, Table};
use levi::{DeviceListProblem, DeviceListState};

use super::attacker::{keyring_of, keyring_rows, the_list};
use super::devices::Device;
use super::world::World;
use super::{changed, two_devices};

#[tokio::test(flavor = "multi_thread")]
async fn no_other_keyring_is_accepted_and_the_right_one_is_once_it_is_shown() {
    let (world, laptop, phone) = two_devices().await;
    let before = keyring_rows(&world.server);
    let of = |rows: &[KeyringRow], device: &Device| -> KeyringRow {
        rows.iter().find(|row| row.member_id == device.id).unwrap().clone()
    };
    let (older, others) = (of(&before, &phone), of(&before, &laptop));
    type Forgery = Box<dyn Fn(&mut KeyringRow) + Send + Sync>;
    let forgeries: Vec<(&str, Forgery)> = vec![
        ("an older epoch's", Box::new(move |row| *row = older.clone())),
        (
            "another recipient's",
            Box::new(move |row| {
                (row.enc, row.sealed) = (others.enc.clone(), others.sealed.clone());
            }),
        ),
        ("truncated", Box::new(|row| row.sealed.truncate(40))),
        ("no base64", Box::new(|row| row.enc.insert(0, '!'))),
        ("another epoch's number", Box::new(|row| row.epoch += 1)),
    ];
    let third = Device::new(&world, "third").await;
    laptop.pair(&third).await;
    let (name, epoch) = (std::sync::Mutex::new(""), std::sync::atomic::AtomicU32::new(1));
    for (what, forge) in forgeries {
        *name.lock().unwrap() = what;
        let now = epoch.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        phone.server.rewrite(move |select, body| match select.table == Table::Keyrings {
            true => changed::<KeyringRow>(&body, &forge),
            false => body,
        });
        // A removal begins an epoch, whose keyring the phone has to fetch.
        let extra = Device::new(&world, &format!("extra {now}")).await;
        laptop.pair(&extra).await;
        laptop.admin().remove(&extra.id).await.unwrap();
        let _ = phone.admin().devices().await;
        let state = phone.until(|state| !state.may_seal()).await;
        assert!(matches!(state, DeviceListState::Stopped(_)), "{what}: {state:?}");
        phone.server.be_honest();
        phone.until_listed(now).await;
    }
    let session = phone.write(&world, "s", &["true"]).await;
    assert_eq!(laptop.read(&session).await, ["true"]);
}

/// Anybody can seal to a member's public key, in the right form: here another secret for the new epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_with_a_secret_of_the_attackers_is_not_committed_to() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    look(&phone).await;
    let (mut list, attackers, second) =
        (the_list(&world), EpochSecret::from_bytes([7; 32]), Epoch::new(2).unwrap());
    let mut keyring = keyring_of(&world, &laptop, &list);
    // The form asks for a list that commits to the secret. Nobody is shown this one.
    let stamp = Stamp { slot: list.slot() + 1, time_ms: 0 };
    let removal = list
        .draft_remove(&laptop.id, tablet.id.clone(), list.rotation().unwrap(), stamp)
        .commit(list.genesis(), &attackers);
    list.accept(&SignedEntry::sign(&removal, &laptop.keys, None).unwrap()).unwrap();
    keyring.push(second, attackers).unwrap();
    let (enc, sealed) = keyring.seal(&list, &phone.id, &mut rand::rng()).unwrap().to_wire();
    phone.server.rewrite(move |select, body| match select.table == Table::Keyrings {
        true => changed::<KeyringRow>(&body, |row| {
            (row.epoch, row.enc, row.sealed) = (2, enc.clone(), sealed.clone());
        }),
        false => body,
    });
    laptop.admin().remove(&tablet.id).await.unwrap();
    look(&phone).await;
    let uncommitted = DeviceListProblem::Keyring(KeyringError::Uncommitted { epoch: second });
    phone.until(|state| *state == DeviceListState::Stopped(uncommitted.clone())).await;
    let session = laptop.write(&world, "s", &["true"]).await;
    phone.server.be_honest();
    phone.until_listed(2).await;
    assert_eq!(phone.read(&session).await, ["true"]);
}

/// The holder of a token overwrites every keyring, in the right form.
async fn spoil_all(world: &World) {
    let garbage = |row: KeyringRow| KeyringRow { enc: row.enc.replace('A', "B"), ..row };
    let rows: Vec<KeyringRow> = keyring_rows(&world.server).into_iter().map(garbage).collect();
    world.supabase().upsert(&world.auth.token(), upsert_of(&rows)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keyrings_that_were_overwritten_are_written_again_by_a_device_that_has_the_epoch() {
    let (world, laptop, phone) = two_devices().await;
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    let session = laptop.write(&world, "s", &["one"]).await;
    laptop.admin().remove(&tablet.id).await.unwrap();
    let before = keyring_rows(&world.server);
    spoil_all(&world).await;
    // The phone was away when the epoch began, and needs its keyring now.
    look(&phone).await;
    phone.until(|state| matches!(state, DeviceListState::Stopped(_))).await;
    // An hour later the laptop sends something.
    laptop.sleep(Duration::from_secs(2 * 3600));
    laptop.send(&session, 2, &["two"]).await;
    phone.until_listed(2).await;
    assert_eq!(phone.read(&session).await, ["one", "two"]);
    // Every row is what it was, the recovery key's among them: whoever writes them writes the same.
    let active = |rows: Vec<KeyringRow>| rows.into_iter().filter(|row| row.member_id != tablet.id);
    let (now, before) = (keyring_rows(&world.server), active(before).collect::<Vec<_>>());
    assert_eq!(active(now).collect::<Vec<_>>(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_recovery_keys_keyring_is_found_before_the_key_is_needed() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let session = laptop.write(&world, "s", &["one"]).await;
    spoil_all(&world).await;
    // A recovery changes nothing while it cannot succeed.
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), ..Recovery::default() };
    let refused = new.admin().recover(&key, &how).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::Problem(DeviceListProblem::Keyring(_))), "{refused}");
    assert_eq!(world.server.row_count(Table::DeviceList).unwrap(), 1);
    // `levi doctor --server` names it, and `levi verify` on a device that is left writes it again.
    assert_eq!(laptop.admin().spoiled_keyrings().await.unwrap(), ["laptop", "recovery key"]);
    assert_eq!(laptop.admin().mend_keyrings().await.unwrap(), ["laptop", "recovery key"]);
    assert_eq!(laptop.admin().spoiled_keyrings().await.unwrap(), [""; 0]);
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert_eq!(new.read(&session).await, ["one"]);
}

/// The row of an earlier epoch opens. A recovery that went on from there would give up all epochs since.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_keyring_of_the_recovery_key_gives_up_no_epoch() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let older = keyring_rows(&world.server);
    let phone = Device::new(&world, "phone").await;
    laptop.pair(&phone).await;
    laptop.admin().remove(&phone.id).await.unwrap();
    let session = laptop.write(&world, "s", &["one"]).await;
    world.supabase().upsert(&world.auth.token(), upsert_of(&older)).await.unwrap();
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), ..Recovery::default() };
    let refused = new.admin().recover(&key, &how).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::OlderKeyring { after: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("run `levi verify` on it"), "{refused}");
    assert_eq!(world.server.row_count(Table::DeviceList).unwrap(), 3);
    assert_eq!(laptop.admin().mend_keyrings().await.unwrap(), ["laptop", "recovery key"]);
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert_eq!(new.read(&session).await, ["one"]);
}

/// A thief's epoch was cut off, and the laptop knows its secret, because it has sealed in it. The device that recovered does
/// not, because somebody had put the recovery key's older keyring back.
#[tokio::test(flavor = "multi_thread")]
async fn keyrings_are_compared_after_a_recovery_that_cut_off_an_epoch_too() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let (phone, stolen) = (Device::new(&world, "phone").await, Device::new(&world, "stolen").await);
    laptop.pair(&phone).await;
    laptop.pair(&stolen).await;
    let older = keyring_rows(&world.server);
    stolen.admin().remove(&phone.id).await.unwrap();
    look(&laptop).await;
    laptop.until_listed(2).await;
    let session = laptop.write(&world, "s", &["in the thief's epoch"]).await;
    world.supabase().upsert(&world.auth.token(), upsert_of(&older)).await.unwrap();
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), keep: vec![laptop.id.clone()], after: Some(2) };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert!(new.read(&session).await[0].contains("UnknownEpoch"));
    look(&laptop).await;
    laptop.until_listed(3).await;
    // The laptop passes on what it knows, and the new device learns it from its own row.
    let mut all = laptop.admin().mend_keyrings().await.unwrap();
    all.sort();
    assert_eq!(all, ["laptop", "new", "recovery key"]);
    assert_eq!(new.admin().spoiled_keyrings().await.unwrap(), [""; 0]);
    assert_eq!(new.read(&session).await, ["in the thief's epoch"]);
    // From now on garbage is found by either.
    let before = keyring_rows(&world.server);
    for device in [&laptop, &new] {
        spoil_all(&world).await;
        let mut spoiled = device.admin().mend_keyrings().await.unwrap();
        spoiled.sort();
        assert_eq!(spoiled, all, "{}", device.name);
        let is_active = |row: &&KeyringRow| row.epoch == 3;
        let (now, before) = (keyring_rows(&world.server), before.iter().filter(is_active));
        assert!(before.eq(now.iter().filter(is_active)), "{}", device.name);
    }
}

async fn look(device: &Device) {
    let _ = device.admin().devices().await;
}
