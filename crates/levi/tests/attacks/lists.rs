//! The list as a server shows it: rolled back, forked, hidden, filled with garbage, and entries that nobody may sign.

use levi::core::{OtherDevices, Recovery};
use levi::devices::draft::Stamp;
use levi::devices::entry::{ListRow, SignedEntry};
use levi::devices::list::DeviceList;
use levi::devices::recovery::RecoveryKey;
use levi::devices::{EntryHash, Epoch, Member, MemberType};
use levi::transport::rows::{DeviceListRow, upsert_of};
use levi::transport::{Select, Table};
use levi::{DeviceListProblem, DeviceListState, SessionStore as _};

use super::attacker::{Ghost, as_list_rows, insert, the_list, write_version_2};
use super::devices::Device;
use super::world::{World, request};
use super::{changed, two_devices};

/// Answers that are about the list.
fn is_list(select: &Select) -> bool {
    select.table == Table::DeviceList
}

/// The genesis only.
fn without_later_rows(body: &[u8]) -> Vec<u8> {
    let mut rows: Vec<DeviceListRow> = serde_json::from_slice(body).unwrap();
    rows.retain(|row| row.slot == 0);
    serde_json::to_vec(&rows).unwrap()
}

/// Makes the device look at the list, whatever comes of it.
async fn look(device: &Device) {
    let _ = device.admin().devices().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_rolled_back_stops_sealing_until_it_is_whole_again() {
    let (world, laptop, phone) = two_devices().await;
    let session = laptop.write(&world, "s", &["before"]).await;
    // The addition of the phone is hidden from the laptop.
    laptop.server.rewrite(|select, body| if is_list(select) { without_later_rows(&body) } else { body });
    look(&laptop).await;
    laptop.until(|state| state_code(state) == "device_list_rolled_back").await;
    let receipt = laptop.levi.enqueue_durable(request(&session.id, 2, "meanwhile")).await.unwrap();
    assert_eq!(world.server.messages(&session.id).unwrap().len(), 1);
    let mut status = laptop.levi.watch_status();
    status.wait_for(|status| status.totals.pending_rows == 1).await.unwrap();
    laptop.server.be_honest();
    laptop.levi.network_changed();
    laptop.levi.synced(&receipt).await.unwrap();
    assert_eq!(phone.read(&session).await, ["before", "meanwhile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_device_stays_stopped_over_a_restart() {
    let (world, mut laptop, _phone) = two_devices().await;
    laptop.server.rewrite(|select, body| if is_list(select) { b"[]".to_vec() } else { body });
    laptop.restart(&world).await;
    let session = world.session("s");
    laptop.store.save_session(&session).unwrap();
    look(&laptop).await;
    laptop.until(|state| matches!(state, DeviceListState::Stopped(problem) if problem.is_alarm())).await;
    laptop.server.be_honest();
    laptop.until_listed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_history_is_a_fork_and_its_devices_are_given_nothing() {
    let (world, laptop, phone) = two_devices().await;
    // The phone's own keys sign another entry after the genesis: shown to the laptop in place of what it has seen.
    let rows = as_list_rows(&world);
    let genesis = DeviceList::geneses(&world.user_id, &rows)[0];
    let only_genesis = DeviceList::read(&world.user_id, genesis, &rows[..1]).unwrap();
    let ghost = Ghost::by_the_server(&world);
    let member =
        Member::new(ghost.id.clone(), MemberType::Device, "ghost", ghost.keys.public_keys().unwrap())
            .unwrap();
    let entry = only_genesis.draft_add(&laptop.id, member, Stamp { slot: 1, time_ms: 0 });
    let other = SignedEntry::sign(&entry, &laptop.keys, Some(&ghost.keys)).unwrap().to_row().unwrap();
    phone.server.rewrite(move |select, body| match is_list(select) {
        true => changed::<DeviceListRow>(&body, |row| {
            if row.slot == 1 {
                (row.entry, row.signature) = (other.entry.clone(), other.signature.clone());
                row.cosignature.clone_from(&other.cosignature);
            }
        }),
        false => body,
    });
    look(&phone).await;
    phone.until(|state| state_code(state) == "device_list_forked").await;
    assert!(phone.sync().share_with_device(&ghost.id).await.is_err());
    phone.server.be_honest();
    phone.until_listed(1).await;
    let session = phone.write(&world, "s", &["true"]).await;
    assert_eq!(laptop.read(&session).await, ["true"]);
    assert!(!ghost.is_given_anything(&world));
}

fn state_code(state: &DeviceListState) -> &'static str {
    match state {
        DeviceListState::Stopped(problem) => problem.code(),
        _ => "fine",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_nobody_may_sign_are_passed_over() {
    let (world, laptop, phone) = two_devices().await;
    let ghost = Ghost::by_the_server(&world);
    let public = ghost.keys.public_keys().unwrap();
    let member = Member::new(ghost.id.clone(), MemberType::Device, "ghost", public).unwrap();
    let list = the_list(&world);
    let stamp = |slot| Stamp { slot, time_ms: 0 };
    // By itself; by a member that did not sign; without the cosignature of the new device.
    let by_itself = list.draft_add(&ghost.id, member.clone(), stamp(2));
    insert(&world, &SignedEntry::sign(&by_itself, &ghost.keys, Some(&ghost.keys)).unwrap());
    let in_the_name = list.draft_add(&laptop.id, member.clone(), stamp(3));
    insert(&world, &SignedEntry::sign(&in_the_name, &ghost.keys, Some(&ghost.keys)).unwrap());
    let not_cosigned = list.draft_add(&phone.id, member.clone(), stamp(4));
    insert(&world, &SignedEntry::sign(&not_cosigned, &phone.keys, None).unwrap());
    // On another entry than the head, by a real member.
    let rows = as_list_rows(&world);
    let genesis = DeviceList::geneses(&world.user_id, &rows)[0];
    let older = DeviceList::read(&world.user_id, genesis, &rows[..1]).unwrap();
    let on_another = older.draft_add(&laptop.id, member, stamp(5));
    insert(&world, &SignedEntry::sign(&on_another, &laptop.keys, Some(&ghost.keys)).unwrap());
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert!(!ghost.is_given_anything(&world));
    assert_eq!(phone.read(&session).await, ["secret"]);
    assert_eq!(laptop.admin().devices().await.unwrap().len(), 3);
    // Honest changes go on behind the garbage.
    let tablet = Device::new(&world, "tablet").await;
    phone.pair(&tablet).await;
    assert_eq!(tablet.read(&session).await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_signs_nothing_that_counts() {
    let (world, laptop, phone) = two_devices().await;
    laptop.admin().remove(&phone.id).await.unwrap();
    let ghost = Ghost::by_the_server(&world);
    let public = ghost.keys.public_keys().unwrap();
    let member = Member::new(ghost.id.clone(), MemberType::Device, "ghost", public).unwrap();
    let entry = the_list(&world).draft_add(&phone.id, member, Stamp { slot: 3, time_ms: 0 });
    insert(&world, &SignedEntry::sign(&entry, &phone.keys, Some(&ghost.keys)).unwrap());
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert!(!ghost.is_given_anything(&world));
    assert_eq!(laptop.read(&session).await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_filled_to_the_last_slot_can_be_read_and_not_changed() {
    let (world, laptop, phone) = two_devices().await;
    let garbage = (2..2000).map(|slot| DeviceListRow {
        user_id: world.user_id.clone(),
        slot,
        entry: "AAAA".into(),
        signature: "AAAA".into(),
        cosignature: None,
    });
    world.server.seed(upsert_of(&garbage.collect::<Vec<_>>())).unwrap();
    let session = laptop.write(&world, "s", &["secret"]).await;
    assert_eq!(phone.read(&session).await, ["secret"]);
    let refused = laptop.admin().remove(&phone.id).await.unwrap_err();
    assert!(refused.to_string().contains("no free slot"), "{refused}");
    laptop.until_listed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_genesis_is_nobodys_list_even_with_the_same_recovery_key() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    // Whoever has no pin is told that there is a list, and makes none of its own.
    let ghost = Ghost::by_the_server(&world);
    let public = ghost.keys.public_keys().unwrap();
    let device = Member::new(ghost.id.clone(), MemberType::Device, "ghost", public).unwrap();
    let recovery = the_list(&world).recovery().unwrap().clone();
    let secret = levi::devices::EpochSecret::from_bytes([7; 32]);
    let entry =
        levi::devices::draft::genesis(&world.user_id, device, recovery, Stamp { slot: 1, time_ms: 0 })
            .commit(EntryHash::ZERO, &secret);
    // The ghost does not have the recovery key, so its cosignature is its own.
    insert(&world, &SignedEntry::sign(&entry, &ghost.keys, Some(&ghost.keys)).unwrap());
    let phone = Device::new(&world, "phone").await;
    let again = RecoveryKey::generate(&mut rand::rng());
    let refused = phone.admin().init("phone", &again, OtherDevices::PairLater).await.unwrap_err();
    assert!(matches!(refused, levi::core::DeviceListError::ListExists), "{refused}");
    let how = Recovery { name: "phone".into(), ..Recovery::default() };
    phone.admin().recover(&key, &how).await.unwrap();
    let session = phone.write(&world, "s", &["secret"]).await;
    assert!(!ghost.is_given_anything(&world));
    assert_eq!(phone.read(&session).await, ["secret"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thief_signed_is_cut_off_with_the_recovery_key() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let stolen = Device::new(&world, "stolen").await;
    laptop.pair(&stolen).await;
    let session = laptop.write(&world, "s", &["before"]).await;
    // The thief removes the owner's device and adds one more.
    stolen.admin().remove(&laptop.id).await.unwrap();
    let thiefs = Device::new(&world, "thief's").await;
    stolen.pair(&thiefs).await;
    look(&laptop).await;
    laptop.until(|state| *state == DeviceListState::Stopped(DeviceListProblem::Removed)).await;
    // The owner recovers from the last entry that is the owner's: the addition of the stolen device's predecessor.
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), keep: vec![laptop.id.clone()], after: Some(1) };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert_eq!(new.read(&session).await, ["before"]);
    // The laptop is back on the list, and the thief's devices are not.
    look(&laptop).await;
    laptop.until(|state| matches!(state, DeviceListState::Listed { devices: 2, .. })).await;
    laptop.send(&session, 2, &["after"]).await;
    assert_eq!(new.read(&session).await, ["before", "after"]);
    for thief in [&stolen, &thiefs] {
        let read = thief.read(&session).await.join("; ");
        assert!(!read.contains("after"), "{read}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_an_unknown_kind_by_a_thief_is_cut_off_with_the_recovery_key() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let stolen = Device::new(&world, "stolen").await;
    laptop.pair(&stolen).await;
    let session = laptop.write(&world, "s", &["before"]).await;
    let list = the_list(&world);
    let stamp = Stamp { slot: 2, time_ms: 0 };
    let removal = list.draft_remove(&stolen.id, laptop.id.clone(), list.rotation().unwrap(), stamp);
    let secret = stolen.keys.epoch_secret(&removal);
    let removal = removal.commit(list.genesis(), &secret);
    let removal = SignedEntry::sign(&removal, &stolen.keys, None).unwrap();
    let mut bytes = removal.entry.clone();
    bytes["levi/device-list/v1".len()] = 77;
    let signature = stolen.keys.sign(&bytes).unwrap().to_base64();
    let ListRow { mut entry, cosignature, .. } = removal.to_row().unwrap();
    // The same bytes, in base64: the end of the label, the kind, the beginning of the slot.
    assert_eq!(&entry[24..28], "MQMA");
    entry.replace_range(24..28, "MU0A");
    let row = DeviceListRow { user_id: world.user_id.clone(), slot: 2, entry, signature, cosignature };
    world.server.seed(upsert_of(&[row])).unwrap();
    look(&laptop).await;
    laptop.until(|state| matches!(state, DeviceListState::Stopped(_))).await;
    // Nobody but the owner knows that it is none of a newer version.
    let new = Device::new(&world, "new").await;
    let all = Recovery { name: "new".into(), ..Recovery::default() };
    let refused = new.admin().recover(&key, &all).await.unwrap_err();
    assert!(refused.to_string().contains("kind 77"), "{refused}");
    let how = Recovery { keep: vec![laptop.id.clone()], after: Some(1), ..all };
    new.admin().recover(&key, &how).await.unwrap();
    look(&laptop).await;
    laptop.until(|state| matches!(state, DeviceListState::Listed { devices: 2, .. })).await;
    laptop.send(&session, 2, &["after"]).await;
    assert_eq!(laptop.read(&session).await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_was_cut_off_makes_no_message_stale() {
    let world = World::new(0).await;
    let laptop = Device::new(&world, "laptop").await;
    let key = laptop.init().await;
    let stolen = Device::new(&world, "stolen").await;
    laptop.pair(&stolen).await;
    let session = laptop.write(&world, "s", &["before"]).await;
    let text = laptop.store.session_secret(&session.id).unwrap().unwrap();
    let secret = levi::SessionSecret::parse(text.expose()).unwrap();
    // The thief begins an epoch, and writes a message in it in front of all others.
    stolen.admin().remove(&laptop.id).await.unwrap();
    let second = Epoch::new(2).unwrap();
    let thiefs = stolen.keys.epoch_secret(&the_list(&world).epoch_entry().unwrap());
    write_version_2(&world.server, &session.id, 0, &secret, (second, &thiefs), "the thief's");
    assert!(stolen.read(&session).await[1].contains("StaleEpoch"));
    let new = Device::new(&world, "new").await;
    let how = Recovery { name: "new".into(), keep: vec![laptop.id.clone()], after: Some(1) };
    let recovery = new.admin().recover(&key, &how).await.unwrap();
    new.levi.share_as_recovery_key(&recovery, &key).await.unwrap();
    assert_eq!(new.read(&session).await[1], "before");
}
