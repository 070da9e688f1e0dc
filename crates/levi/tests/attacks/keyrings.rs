//! Keyrings that are not what the signed list commits to.

use levi::DeviceListState;
use levi::transport::Table;
use levi::transport::rows::{KeyringRow, upsert_of};

use super::attacker::keyring_rows;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_keyring_with_a_secret_of_the_attackers_is_not_committed_to() {
    let (world, laptop, phone) = two_devices().await;
    // The phone's keyring is replaced by one that the laptop's earlier self could have made: the right form, sealed for
    // the right member, with another secret. Anybody can seal to a public key.
    let rows = super::attacker::list_rows(&world.server);
    assert_eq!(rows.len(), 2);
    let mut row = keyring_rows(&world.server).into_iter().find(|row| row.member_id == phone.id).unwrap();
    let foreign = two_devices().await;
    let theirs = keyring_rows(&foreign.0.server);
    let theirs = theirs.into_iter().find(|row| row.member_id == foreign.2.id).unwrap();
    (row.enc, row.sealed) = (theirs.enc, theirs.sealed);
    world.server.seed(upsert_of(&[row])).unwrap();
    // Who has the epoch's secret goes on with it.
    let session = phone.write(&world, "s", &["true"]).await;
    assert_eq!(laptop.read(&session).await, ["true"]);
}
