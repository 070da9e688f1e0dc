//! Every rule of the list, by an entry that breaks it alone.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

mod common;

use common::{Owner, Scene, resigned, rng};
use levi_devices::draft::{Stamp, free_slot, genesis};
use levi_devices::entry::{Body, Entry, MAX_SLOT, SignedEntry};
use levi_devices::list::{DeviceList, MAX_EPOCH, Refusal};
use levi_devices::{EntryHash, Epoch, EpochSecret, MemberType};
use levi_types::{DeviceId, UserId};

fn refused(scene: &Scene, signed: &SignedEntry) -> Refusal {
    let before = scene.list.clone();
    let mut list = scene.list.clone();
    let refusal = list.accept(signed).unwrap_err();
    assert_eq!(list, before, "a refused entry changes nothing");
    refusal
}

#[test]
fn the_list_goes_through_every_kind() {
    let mut scene = Scene::new(1);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    let tablet = scene.add(&phone, "tablet");
    scene.remove(&tablet, laptop.id());
    assert_eq!(scene.list.epoch().number(), 2);

    let paper2 = Owner::recovery("paper2", &mut scene.rng);
    let (signed, secret) = scene.new_recovery_entry(&paper2);
    scene.push(&signed);
    scene.keyring.push(scene.list.epoch(), secret).unwrap();
    scene.recovery = paper2.clone();
    assert_eq!(scene.list.recovery(), Some(&paper2.member));

    let desktop = Owner::device("desktop", &mut scene.rng);
    let (signed, secret) = scene.recover_entry(scene.list.head(), &[&phone, &tablet], &desktop);
    scene.push(&signed);
    scene.keyring.push(scene.list.epoch(), secret).unwrap();

    let active: Vec<&str> = scene.list.active_members().map(|member| member.id().as_str()).collect();
    assert_eq!(active, ["paper2", "desktop"]);
    assert_eq!(scene.list.members().len(), 6);
    let removed = scene.list.member(laptop.id()).unwrap().removed.clone().unwrap();
    assert_eq!((removed.slot, removed.by.as_str()), (3, "tablet"));
    assert_eq!(scene.list.epoch().number(), 4);
    assert_eq!(scene.read(), scene.list);
    scene.keyring.check(&scene.list).unwrap();
}

#[test]
fn the_place_of_an_entry_is_checked() {
    let mut scene = Scene::new(2);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let good = scene.add_entry(&laptop, &phone);
    let changed = |change: fn(&mut Entry)| resigned(&good, &laptop, Some(&phone), change);

    let other_user = changed(|entry| entry.header.user_id = UserId::from("other"));
    assert_eq!(refused(&scene, &other_user), Refusal::OtherUser);
    let off_head = changed(|entry| entry.header.prev = EntryHash::from_bytes([7; 32]));
    assert_eq!(refused(&scene, &off_head), Refusal::NotOnHead);
    for slot in [0, MAX_SLOT + 1, u64::MAX] {
        let elsewhere = resigned(&good, &laptop, Some(&phone), |entry| entry.header.slot = slot);
        assert_eq!(refused(&scene, &elsewhere), Refusal::Slot { slot });
    }
    let stranger = changed(|entry| entry.header.signer_id = DeviceId::from("stranger"));
    assert_eq!(refused(&scene, &stranger), Refusal::SignerNotActive("stranger".into()));
    scene.push(&good);
    assert_eq!(refused(&scene, &good), Refusal::NotOnHead, "a replay");
}

#[test]
fn both_signatures_are_checked() {
    let mut scene = Scene::new(3);
    let laptop = scene.laptop.clone();
    let phone = Owner::device("phone", &mut scene.rng);
    let good = scene.add_entry(&laptop, &phone);
    let entry = Entry::decode(&good.entry).unwrap();
    let other = Owner::device("other", &mut scene.rng);

    let by_other = SignedEntry::sign(&entry, &other.keys, Some(&phone.keys)).unwrap();
    assert_eq!(refused(&scene, &by_other), Refusal::Signature);
    let cosigned_by_other = SignedEntry::sign(&entry, &laptop.keys, Some(&other.keys)).unwrap();
    assert_eq!(refused(&scene, &cosigned_by_other), Refusal::Cosignature);
    let alone = SignedEntry { cosignature: None, ..good.clone() };
    assert_eq!(refused(&scene, &alone), Refusal::Cosignature);
    let swapped =
        SignedEntry { signature: good.cosignature.unwrap(), cosignature: Some(good.signature), ..good };
    assert_eq!(refused(&scene, &swapped), Refusal::Signature);

    let phone = scene.add(&laptop, "tablet");
    let (removal, _) = scene.remove_entry(&laptop, phone.id());
    let cosigned = SignedEntry { cosignature: Some(removal.signature), ..removal };
    assert_eq!(refused(&scene, &cosigned), Refusal::UnexpectedCosignature);
}

#[test]
fn who_may_sign_what() {
    let mut scene = Scene::new(4);
    let (laptop, paper) = (scene.laptop.clone(), scene.recovery.clone());
    let phone = scene.add(&laptop, "phone");
    let new = Owner::device("new", &mut scene.rng);
    let by_paper = scene.add_entry(&paper, &new);
    assert_eq!(refused(&scene, &by_paper), Refusal::SignerType("paper".into()));
    let (removal, _) = scene.remove_entry(&paper, phone.id());
    assert_eq!(refused(&scene, &removal), Refusal::SignerType("paper".into()));

    let (recovery, _) = scene.recover_entry(scene.list.head(), &[], &new);
    let by_laptop =
        resigned(&recovery, &laptop, Some(&new), |entry| entry.header.signer_id = laptop.id().clone());
    assert_eq!(refused(&scene, &by_laptop), Refusal::SignerType("laptop".into()));
    let paper2 = Owner::recovery("paper2", &mut scene.rng);
    let (replacement, _) = scene.new_recovery_entry(&paper2);
    let by_laptop =
        resigned(&replacement, &laptop, Some(&paper2), |entry| entry.header.signer_id = laptop.id().clone());
    assert_eq!(refused(&scene, &by_laptop), Refusal::SignerType("laptop".into()));

    scene.remove(&laptop, phone.id());
    let by_removed = scene.add_entry(&phone, &new);
    assert_eq!(refused(&scene, &by_removed), Refusal::SignerNotActive("phone".into()));
    let (replacement, _) = scene.new_recovery_entry(&paper2);
    scene.push(&replacement);
    let by_old_paper = scene.recover_entry(scene.list.head(), &[], &new).0;
    let by_old_paper = resigned(&by_old_paper, &paper, Some(&new), |entry| {
        entry.header.signer_id = paper.id().clone();
    });
    assert_eq!(refused(&scene, &by_old_paper), Refusal::SignerNotActive("paper".into()));
}

#[test]
fn no_id_and_no_key_is_used_twice() {
    let mut scene = Scene::new(5);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    scene.remove(&laptop, phone.id());
    // Back under its old id, with new keys.
    let again = Owner::device("phone", &mut scene.rng);
    assert_eq!(refused(&scene, &scene.add_entry(&laptop, &again)), Refusal::IdTaken("phone".into()));
    // Under a new id, with one of its old keys.
    for taken in 0..3 {
        let mut keys = again.keys.clone();
        match taken {
            0 => keys.signing = phone.keys.signing.clone(),
            1 => keys.envelope = phone.keys.envelope.clone(),
            _ => keys.keyring = phone.keys.keyring.clone(),
        }
        let other = Owner::new("phone 2", MemberType::Device, keys);
        assert_eq!(refused(&scene, &scene.add_entry(&laptop, &other)), Refusal::KeyTaken, "key {taken}");
    }
    let fresh = Owner::device("phone 2", &mut scene.rng);
    scene.push(&scene.add_entry(&laptop, &fresh));
}

#[test]
fn types_removals_and_epochs_are_checked() {
    let mut scene = Scene::new(6);
    let (laptop, paper) = (scene.laptop.clone(), scene.recovery.clone());
    let paper2 = Owner::recovery("paper2", &mut scene.rng);
    assert_eq!(refused(&scene, &scene.add_entry(&laptop, &paper2)), Refusal::MemberType);
    let device = Owner::device("device", &mut scene.rng);
    let (as_recovery_key, _) = scene.new_recovery_entry(&device);
    assert_eq!(refused(&scene, &as_recovery_key), Refusal::MemberType);

    let (last, _) = scene.remove_entry(&laptop, laptop.id());
    assert_eq!(refused(&scene, &last), Refusal::LastDevice);
    let phone = scene.add(&laptop, "phone");
    for id in ["paper", "nobody"] {
        let (signed, _) = scene.remove_entry(&laptop, &id.into());
        assert_eq!(refused(&scene, &signed), Refusal::NotADevice(id.into()));
    }
    let (twice, _) = scene.recover_entry(scene.list.head(), &[&phone, &phone], &device);
    assert_eq!(refused(&scene, &twice), Refusal::NotADevice("phone".into()));

    let (good, _) = scene.remove_entry(&laptop, phone.id());
    for number in [1, 3, MAX_EPOCH + 1] {
        let other = resigned(&good, &laptop, None, |entry| {
            let Body::Remove { rotation, .. } = &mut entry.body else { unreachable!("a removal") };
            rotation.epoch = Epoch::new(number).unwrap();
        });
        let (found, last) = (Epoch::new(number).unwrap(), Epoch::FIRST);
        assert_eq!(refused(&scene, &other), Refusal::WrongEpoch { found, last });
    }
    let (recovery, _) = scene.recover_entry(scene.list.head(), &[&phone], &device);
    let not_above = resigned(&recovery, &paper, Some(&device), |entry| {
        let Body::Recover { rotation, .. } = &mut entry.body else { unreachable!("a recovery") };
        rotation.epoch = Epoch::FIRST;
    });
    assert!(matches!(refused(&scene, &not_above), Refusal::WrongEpoch { .. }));
    scene.remove(&phone, phone.id());
}

#[test]
fn at_most_32_members_are_active() {
    let mut scene = Scene::new(7);
    let laptop = scene.laptop.clone();
    let mut last = laptop.clone();
    for number in 2..32 {
        last = scene.add(&laptop, &format!("device {number}"));
    }
    let one_more = Owner::device("one more", &mut scene.rng);
    assert_eq!(refused(&scene, &scene.add_entry(&laptop, &one_more)), Refusal::TooManyMembers);
    let (recovery, _) = scene.recover_entry(scene.list.head(), &[], &one_more);
    assert_eq!(refused(&scene, &recovery), Refusal::TooManyMembers);
    let (recovery, _) = scene.recover_entry(scene.list.head(), &[&last], &one_more);
    scene.push(&recovery);
    assert_eq!(scene.list.active_members().count(), 32);
}

#[test]
fn a_genesis_is_checked() {
    let mut rng = rng(8);
    let user = UserId::from("user");
    let laptop = Owner::device("laptop", &mut rng);
    let paper = Owner::recovery("paper", &mut rng);
    let secret = EpochSecret::generate(&mut rng);
    let entry = |device: &Owner, recovery: &Owner| {
        let stamp = Stamp { slot: 0, time_ms: 0 };
        genesis(&user, device.member.clone(), recovery.member.clone(), stamp).commit(EntryHash::ZERO, &secret)
    };
    let begin = |entry: &Entry, signer: &Owner, cosigner: &Owner| {
        let signed = SignedEntry::sign(entry, &signer.keys, Some(&cosigner.keys)).unwrap();
        DeviceList::begin(&user, &signed).map(|list| list.members().len())
    };
    let good = entry(&laptop, &paper);
    assert_eq!(begin(&good, &laptop, &paper), Ok(2));
    assert_eq!(begin(&good, &paper, &paper), Err(Refusal::Signature));
    // Somebody without the recovery key names it.
    assert_eq!(begin(&good, &laptop, &laptop), Err(Refusal::Cosignature));
    assert_eq!(begin(&entry(&laptop, &laptop), &laptop, &laptop), Err(Refusal::MemberType));
    assert_eq!(begin(&entry(&paper, &paper), &paper, &paper), Err(Refusal::MemberType));

    let mut after = good.clone();
    after.header.prev = EntryHash::from_bytes([1; 32]);
    assert_eq!(begin(&after, &laptop, &paper), Err(Refusal::Genesis));
    let mut by_paper = good.clone();
    by_paper.header.signer_id = paper.id().clone();
    assert_eq!(begin(&by_paper, &paper, &paper), Err(Refusal::SignerNotActive("paper".into())));
    let mut other_user = good;
    other_user.header.user_id = UserId::from("other");
    assert_eq!(begin(&other_user, &laptop, &paper), Err(Refusal::OtherUser));
}

#[test]
fn the_first_free_slot_is_taken_even_if_the_last_one_has_garbage() {
    assert_eq!(free_slot(None, &[]).unwrap(), 0);
    assert_eq!(free_slot(Some(3), &[0, 1, 3, 4, MAX_SLOT]).unwrap(), 5);
    assert!(free_slot(Some(MAX_SLOT), &[]).is_err());
    let all: Vec<u64> = (0..=MAX_SLOT).collect();
    assert!(free_slot(Some(3), &all).unwrap_err().to_string().contains("no free slot"));
}
