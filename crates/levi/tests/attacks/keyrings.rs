//! Keyrings that are not what the signed list commits to.

use levi::devices::draft::Stamp;
use levi::devices::entry::SignedEntry;
use levi::devices::keyring::KeyringError;
use levi::devices::{Epoch, EpochSecret};
use levi::transport::Table;
use levi::transport::rows::KeyringRow;
use levi::{DeviceListProblem, DeviceListState};

use super::attacker::{keyring_of, keyring_rows, the_list};
use super::devices::Device;
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
    let removal = list.draft_remove(&laptop.id, tablet.id.clone(), list.rotation(&attackers).unwrap(), stamp);
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

async fn look(device: &Device) {
    let _ = device.admin().devices().await;
}
