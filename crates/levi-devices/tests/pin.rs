//! What a pinned device makes of the rows that a server shows.

mod common;

use common::{Owner, Scene, resigned};
use levi_devices::entry::{Entry, ListRow, SignedEntry};
use levi_devices::list::{DeviceList, ReadError};
use levi_devices::pin::{Pin, PinError};

#[test]
fn a_list_is_restored_from_the_pin_and_the_stored_entries() {
    let mut scene = Scene::new(20);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    scene.remove(&laptop, phone.id());
    let pin = Pin::decode(&scene.list.pin().encode()).unwrap();
    let stored: Vec<SignedEntry> = scene.list.entries().cloned().collect();
    assert_eq!(DeviceList::restore(&pin, &stored).unwrap(), scene.list);

    // The stored entries are as good as the pin: cut off, reordered or altered, they do not lead to
    // it.
    assert_eq!(DeviceList::restore(&pin, &stored[..2]), Err(PinError::Damaged));
    assert_eq!(DeviceList::restore(&pin, &stored[1..]), Err(PinError::Damaged));
    for index in 0..stored.len() {
        for at in (0..stored[index].entry.len()).step_by(7) {
            let mut altered = stored.clone();
            altered[index].entry[at] ^= 1;
            assert_eq!(DeviceList::restore(&pin, &altered), Err(PinError::Damaged), "{index}, {at}");
        }
    }
    let mut encoded = pin.encode();
    encoded.push(0);
    assert_eq!(Pin::decode(&encoded), Err(PinError::Damaged));
}

#[test]
fn honest_growth_extends_the_pin() {
    let mut scene = Scene::new(21);
    let laptop = scene.laptop.clone();
    let mut pinned = scene.list.clone();
    let phone = scene.add(&laptop, "phone");
    pinned = pinned.extend(&scene.rows).unwrap();
    assert_eq!(pinned, scene.list);
    // An entry that lost a race and garbage are skipped.
    let tablet = Owner::device("tablet", &mut scene.rng);
    let loser = scene.add_entry(&phone, &tablet);
    scene.add(&laptop, "desktop");
    let mut late = loser.to_row().unwrap();
    late.slot = scene.stamp().slot;
    scene.rows.push(late);
    scene.rows.push(ListRow { slot: 9, entry: "!".into(), signature: String::new(), cosignature: None });
    let extended = pinned.extend(&scene.rows).unwrap();
    assert_eq!(extended, scene.list);
    // The order in which the server returns rows does not matter.
    scene.rows.reverse();
    assert_eq!(pinned.extend(&scene.rows).unwrap(), scene.list);
}

#[test]
fn a_list_cut_short_is_a_rollback() {
    let mut scene = Scene::new(22);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    scene.remove(&laptop, phone.id());
    for shown in 1..3 {
        let error = scene.list.extend(&scene.rows[..shown]).unwrap_err();
        let last = u64::try_from(shown - 1).unwrap();
        assert_eq!(error, PinError::RolledBack { shown: Some(last), pinned: 2 });
    }
    assert_eq!(scene.list.extend(&[]), Err(PinError::RolledBack { shown: None, pinned: 2 }));
    // Once the rows are back, so is the device.
    assert_eq!(scene.list.extend(&scene.rows).unwrap(), scene.list);
}

#[test]
fn two_histories_are_a_fork_on_both_sides() {
    let mut scene = Scene::new(23);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    // The server accepts both entries in one slot and shows each device its own.
    let mut other = scene.fork(99);
    scene.add(&laptop, "tablet");
    other.add(&phone, "desktop");
    assert_eq!(scene.list.extend(&other.rows), Err(PinError::Forked { slot: 2 }));
    assert_eq!(other.list.extend(&scene.rows), Err(PinError::Forked { slot: 2 }));
    assert_ne!(scene.list.verify_code().to_string(), other.list.verify_code().to_string());

    // Another list altogether, begun by somebody with the user's token.
    let stranger = Scene::new(24);
    assert_eq!(scene.list.extend(&stranger.rows), Err(PinError::Forked { slot: 0 }));
    // Beside ours, it is ignored.
    let mut both = stranger.rows.clone();
    both.extend(scene.rows.clone());
    assert_eq!(scene.list.extend(&both).unwrap(), scene.list);
    assert_eq!(DeviceList::geneses(&scene.user, &both).len(), 2);
}

#[test]
fn a_signature_that_was_altered_later_is_noticed() {
    let mut scene = Scene::new(25);
    let laptop = scene.laptop.clone();
    scene.add(&laptop, "phone");
    let genuine = scene.rows[1].clone();
    scene.rows[1].signature = scene.rows[0].signature.clone();
    assert_eq!(scene.list.extend(&scene.rows), Err(PinError::RolledBack { shown: Some(0), pinned: 1 }));
    scene.rows[1] = genuine;
    assert!(scene.list.extend(&scene.rows).is_ok());
}

#[test]
fn a_recovery_cuts_off_what_a_thief_signed() {
    let mut scene = Scene::new(26);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    let before = scene.list.clone();
    // The thief has the phone, adds a ghost and removes the laptop.
    let ghost = scene.add(&phone, "ghost");
    scene.remove(&phone, laptop.id());
    let stolen = scene.list.clone();
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, secret) = scene.recover_entry(before.head(), &[&phone], &desktop);
    scene.push(&recovery);
    let active: Vec<_> = scene.list.active_members().map(|member| member.id().as_str()).collect();
    assert_eq!(active, ["laptop", "paper", "desktop"]);
    assert!(scene.list.member(ghost.id()).is_none());

    // Above the thief's epoch, whose secret the keyring still carries.
    assert_eq!(scene.list.epoch().number(), 3);
    scene.keyring.push(scene.list.epoch(), secret).unwrap();
    scene.keyring.check(&scene.list).unwrap();

    for pinned in [&before, &stolen] {
        assert_eq!(pinned.extend(&scene.rows).unwrap(), scene.list);
    }
    assert_eq!(scene.read(), scene.list);
    let stored: Vec<SignedEntry> = scene.list.entries().cloned().collect();
    let restored = DeviceList::restore(&scene.list.pin(), &stored).unwrap();
    // The thief's history is a fork now, for everybody who has seen the recovery.
    let without: Vec<ListRow> = scene.rows[..4].to_vec();
    assert_eq!(restored.extend(&without), Err(PinError::Forked { slot: 2 }));
    assert_eq!(restored.extend(&scene.rows).unwrap(), scene.list);
}

#[test]
fn a_recovery_is_accepted_by_a_device_that_alone_saw_the_theft() {
    let mut scene = Scene::new(27);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    let mut victim = scene.fork(98);
    victim.add(&phone, "ghost");
    // The server hides the theft from the device that recovers.
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, _) = scene.recover_entry(scene.list.head(), &[&phone], &desktop);
    scene.push(&recovery);
    assert_eq!(victim.list.extend(&scene.rows).unwrap(), scene.list);

    // Not if the victim has seen an epoch as high: a person looks, and recovers again.
    victim.remove(&phone, laptop.id());
    assert_eq!(victim.list.extend(&scene.rows), Err(PinError::Forked { slot: 2 }));
}

#[test]
fn a_replaced_recovery_key_cuts_off_nothing() {
    let mut scene = Scene::new(28);
    let laptop = scene.laptop.clone();
    let before = scene.list.head();
    let paper2 = Owner::recovery("paper2", &mut scene.rng);
    let (replacement, _) = scene.new_recovery_entry(&paper2);
    let old = scene.fork(97);
    scene.push(&replacement);
    scene.add(&laptop, "phone");
    let ghost = Owner::device("ghost", &mut scene.rng);
    // The old paper, from before its replacement; with a slot and an epoch that would do.
    let (template, _) = scene.recover_entry(before, &[], &ghost);
    let by_old = resigned(&template, &old.recovery, Some(&ghost), |entry| {
        entry.header.signer_id = old.recovery.id().clone();
    });
    scene.rows.push(by_old.to_row().unwrap());
    assert_eq!(scene.list.extend(&scene.rows).unwrap(), scene.list);
    assert_eq!(scene.read(), scene.list);
    // Shown without the replacement, it is a fork.
    let hidden = [scene.rows[0].clone(), by_old.to_row().unwrap()];
    assert!(matches!(scene.list.extend(&hidden), Err(PinError::Forked { .. })));
    // The new key does not reach behind its own entry either, because the list before it does not
    // know it.
    let (too_far, _) = {
        scene.recovery = paper2;
        scene.recover_entry(before, &[], &ghost)
    };
    assert!(scene.list.clone().accept(&too_far).is_err());
}

#[test]
fn an_unknown_kind_stops_if_a_member_signed_it() {
    let mut scene = Scene::new(29);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let known = scene.add_entry(&laptop, &phone);
    let kind_at = "levi/device-list/v1".len();
    let unknown = |signer: &Owner| {
        let mut entry = known.entry.clone();
        entry[kind_at] = 6;
        entry.truncate(entry.len() - 40);
        SignedEntry { signature: signer.keys.sign(&entry).unwrap(), cosignature: None, entry }
    };
    let row = |signed: &SignedEntry| {
        use base64::Engine as _;
        let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let (slot, cosignature) = (Entry::decode(&known.entry).unwrap().header.slot, None);
        ListRow { slot, entry: encode(&signed.entry), signature: signed.signature.to_base64(), cosignature }
    };
    // Somebody with the user's token.
    let mut rows = scene.rows.clone();
    rows.push(row(&unknown(&phone)));
    assert_eq!(scene.list.extend(&rows).unwrap(), scene.list);
    // A member with a later version of Levi.
    rows[1] = row(&unknown(&laptop));
    assert_eq!(scene.list.extend(&rows), Err(PinError::UnknownKind { kind: 6, slot: 1 }));
    let read = DeviceList::read(&scene.user, scene.list.genesis(), &rows);
    assert_eq!(read, Err(ReadError::UnknownKind { kind: 6, slot: 1 }));
    // What comes behind it does not count, but for a recovery: the member may have been a thief.
    scene.rows = rows;
    let later = scene.add_entry(&laptop, &phone);
    scene.rows.push(later.to_row().unwrap());
    assert_eq!(scene.list.extend(&scene.rows), Err(PinError::UnknownKind { kind: 6, slot: 1 }));
    let keys = scene.recovery.member.keys().clone();
    let found = DeviceList::read_with_recovery_key(&scene.user, &keys, &scene.rows);
    assert_eq!(found, Err(ReadError::UnknownKind { kind: 6, slot: 1 }));
    let found = DeviceList::read_to_recover(&scene.user, &keys, &scene.rows);
    assert_eq!(found.unwrap(), scene.list);
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, _) = scene.recover_entry(scene.list.head(), &[&laptop], &desktop);
    scene.rows.push(recovery.to_row().unwrap());
    let cut_off = scene.list.extend(&scene.rows).unwrap();
    assert_eq!((cut_off.slot(), cut_off.active_devices().count()), (3, 1));
    let found = DeviceList::read_with_recovery_key(&scene.user, &keys, &scene.rows);
    assert_eq!(found.unwrap(), cut_off);
    // What the recovery key itself signed is cut off by nothing.
    let mut entry = recovery.entry.clone();
    entry[kind_at] = 6;
    let signature = scene.recovery.keys.sign(&entry).unwrap();
    scene.rows[3] = ListRow { slot: 3, ..row(&SignedEntry { signature, cosignature: None, entry }) };
    assert!(DeviceList::read_to_recover(&scene.user, &keys, &scene.rows).is_err());
}

#[test]
fn the_recovery_key_finds_its_list_among_others() {
    let mut scene = Scene::new(30);
    let old = scene.recovery.clone();
    let stranger = Scene::new(31);
    let mut rows = stranger.rows.clone();
    rows.extend(scene.rows.clone());
    let find = |owner: &Owner, rows: &[ListRow]| {
        DeviceList::read_with_recovery_key(&scene.user, owner.member.keys(), rows)
    };
    assert_eq!(find(&old, &rows).unwrap(), scene.list);
    assert_eq!(find(&Owner::recovery("none", &mut common::rng(1)), &rows), Err(ReadError::OtherRecoveryKey));
    let paper2 = Owner::recovery("paper2", &mut common::rng(2));
    let (replacement, _) = scene.new_recovery_entry(&paper2);
    scene.push(&replacement);
    let find =
        |owner: &Owner| DeviceList::read_with_recovery_key(&scene.user, owner.member.keys(), &scene.rows);
    assert_eq!(find(&old), Err(ReadError::ReplacedRecoveryKey));
    assert_eq!(find(&paper2).unwrap(), scene.list);
}
