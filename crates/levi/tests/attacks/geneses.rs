//! Lists that somebody else begins, valid in themselves: with a recovery key and devices of the attacker's.

use levi::core::{DeviceListError, OtherDevices};
use levi::devices::draft::{Stamp, genesis};
use levi::devices::entry::SignedEntry;
use levi::devices::recovery::RecoveryKey;
use levi::devices::{EntryHash, EpochSecret, Member, MemberType};
use levi::transport::rows::{DeviceListRow, KeyringRow, upsert_of};
use levi::transport::{Supabase as _, Table};
use levi::{DeviceListProblem, DeviceListState, SessionStore as _};
use levi_testkit::fixtures::uuid_of;

use super::attacker::{Ghost, as_row, insert};
use super::devices::Device;
use super::world::{World, request};
use super::{changed, two_devices, two_devices_without_list};

/// A genesis that everybody would accept who has seen no other.
fn valid_genesis(world: &World, ghost: &Ghost, slot: u64) -> SignedEntry {
    let paper = RecoveryKey::generate(&mut rand::rng()).member_keys();
    let id = uuid_of("device", "the thief's paper").as_str().into();
    let recovery =
        Member::new(id, MemberType::Recovery, "recovery key", paper.public_keys().unwrap()).unwrap();
    let secret = EpochSecret::from_bytes([7; 32]);
    let entry = genesis(&world.user_id, ghost.member(), recovery, Stamp { slot, time_ms: 0 })
        .commit(EntryHash::ZERO, &secret);
    SignedEntry::sign(&entry, &ghost.keys, Some(&paper)).unwrap()
}

/// The thief has a token, and is faster than `levi init`.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_a_thief_begins_first_stops_the_devices_and_is_believed_by_none() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    laptop.until(|state| *state == DeviceListState::DeviceTable).await;
    let session = laptop.write(&world, "s", &["before"]).await;
    let ghost = Ghost::unregistered("ghost");
    let begun = as_row(&world, &valid_genesis(&world, &ghost, 0));
    let inserted = world.supabase().insert(&world.auth.token(), upsert_of(&[begun])).await.unwrap();
    assert_ne!(inserted, b"[]");
    let _ = laptop.admin().devices().await;
    laptop.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::NotOnList)).await;
    let receipt = laptop.levi.enqueue_durable(request(&session.id, 2, "after")).await.unwrap();
    assert!(laptop.sync().share_with_device(&ghost.id).await.is_err());
    let key = RecoveryKey::generate(&mut rand::rng());
    let refused = laptop.admin().init("laptop", &key, OtherDevices::PairLater).await.unwrap_err();
    assert!(matches!(refused, DeviceListError::ListExists), "{refused}");
    assert!(refused.to_string().contains("somebody else did with your sign-in"), "{refused}");
    assert_eq!(world.server.messages(&session.id).unwrap().len(), 1);
    // What docs/trust.md says is to be done: the rows are deleted, and the list is begun by its owner.
    world.server.delete_rows_of(&world.user_id, Table::DeviceList).unwrap();
    laptop.init().await;
    laptop.levi.synced(&receipt).await.unwrap();
    assert_eq!(laptop.read(&session).await, ["before", "after"]);
    assert!(!ghost.is_given_anything(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_list_with_a_recovery_key_of_its_own_moves_nobody_who_has_the_first() {
    let (world, laptop, phone) = two_devices().await;
    let ghost = Ghost::by_the_server(&world);
    insert(&world, &valid_genesis(&world, &ghost, 2));
    let session = laptop.write(&world, "s", &["one"]).await;
    assert_eq!(phone.read(&session).await, ["one"]);
    // A new device comes on the list of the one that adds it.
    let tablet = Device::new(&world, "tablet").await;
    laptop.pair(&tablet).await;
    assert_eq!(tablet.read(&session).await, ["one"]);
    // In place of the first list it is another history.
    let other = as_row(&world, &valid_genesis(&world, &ghost, 0));
    phone.server.rewrite(move |select, body| match select.table == Table::DeviceList {
        true => changed::<DeviceListRow>(&body, |row| {
            *row = DeviceListRow { slot: row.slot, ..other.clone() };
        }),
        false => body,
    });
    let _ = phone.admin().devices().await;
    phone.until(|state| matches!(state, DeviceListState::Stopped(problem) if problem.is_alarm())).await;
    phone.server.be_honest();
    phone.until_listed(1).await;
    let session = phone.write(&world, "t", &["two"]).await;
    assert_eq!(laptop.read(&session).await, ["two"]);
    assert!(!ghost.is_given_anything(&world));
}

/// A daemon that knows no lists goes on as before, whatever is in the tables of lists.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_list_no_row_of_a_list_or_a_keyring_changes_anything() {
    let (world, laptop, phone) = two_devices_without_list().await;
    let ghost = Ghost::by_the_server(&world);
    insert(&world, &valid_genesis(&world, &ghost, 0));
    let garbage = |slot| DeviceListRow {
        user_id: world.user_id.clone(),
        slot,
        entry: "AAAA".into(),
        signature: "AAAA".into(),
        cosignature: None,
    };
    world.server.seed(upsert_of(&(1..2000).map(garbage).collect::<Vec<_>>())).unwrap();
    let keyring = KeyringRow {
        user_id: world.user_id.clone(),
        member_id: phone.id.clone(),
        epoch: 7,
        enc: "AAAA".into(),
        sealed: "AAAA".into(),
    };
    world.server.seed(upsert_of(&[keyring])).unwrap();
    let session = laptop.write(&world, "s", &["one"]).await;
    assert!(!world.server.messages(&session.id).unwrap()[0].content_nonce.starts_with("v2:"));
    assert_eq!(phone.read(&session).await, ["one"]);
    assert!(laptop.store.session_secret(&session.id).unwrap().is_some());
    assert_eq!(ghost.reads(&world, &session.id).await, Ok(vec!["one".to_owned()]));
}
