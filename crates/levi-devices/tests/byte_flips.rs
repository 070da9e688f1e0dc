//! No byte of an entry, of its signatures or of its row can be changed.

mod common;

use common::{Owner, Scene};
use levi_devices::entry::{Entry, ListRow, SignedEntry};
use levi_devices::list::DeviceList;
use levi_devices::{EntryHash, Signature};
use proptest::prelude::*;

/// The list before, and an acceptable entry of every kind but the genesis.
fn kinds() -> Vec<(DeviceList, SignedEntry)> {
    let mut scene = Scene::new(60);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    let tablet = Owner::device("tablet", &mut scene.rng);
    let paper2 = Owner::recovery("paper2", &mut scene.rng);
    let add = scene.add_entry(&phone, &tablet);
    let (remove, _) = scene.remove_entry(&laptop, phone.id());
    let (replace, _) = scene.new_recovery_entry(&paper2);
    let (recover, _) = scene.recover_entry(scene.list.head(), &[&phone], &tablet);
    let (cut, _) = scene.recover_entry(scene.list.genesis(), &[], &tablet);
    [add, remove, replace, recover, cut].map(|signed| (scene.list.clone(), signed)).into()
}

#[test]
fn no_byte_of_an_entry_can_be_changed() {
    for (list, signed) in kinds() {
        list.clone().accept(&signed).unwrap();
        for at in 0..signed.entry.len() {
            let mut altered = signed.clone();
            altered.entry[at] ^= 1 << (at % 8);
            assert!(list.clone().accept(&altered).is_err(), "byte {at}");
            assert_ne!(altered.hash(), signed.hash());
            if let Ok(entry) = Entry::decode(&altered.entry) {
                assert_eq!(entry.encode(), altered.entry, "byte {at}: two encodings of one entry");
            }
        }
        for end in 0..signed.entry.len() {
            assert!(Entry::decode(&signed.entry[..end]).is_err(), "cut off at {end}");
        }
        let longer = [&signed.entry[..], &[0]].concat();
        assert!(Entry::decode(&longer).is_err());
        for at in 0..64 {
            let flipped = |signature: Signature| {
                let mut bytes = *signature.as_bytes();
                bytes[at] ^= 0x10;
                Signature::from_bytes(bytes)
            };
            let altered = SignedEntry { signature: flipped(signed.signature), ..signed.clone() };
            assert!(list.clone().accept(&altered).is_err());
            if let Some(cosignature) = signed.cosignature {
                let altered = SignedEntry { cosignature: Some(flipped(cosignature)), ..signed.clone() };
                assert!(list.clone().accept(&altered).is_err());
            }
        }
    }
}

#[test]
fn no_byte_of_the_genesis_can_be_changed() {
    let scene = Scene::new(61);
    let genesis = SignedEntry::from_row(&scene.rows[0]).unwrap();
    for at in 0..genesis.entry.len() {
        let mut altered = genesis.clone();
        altered.entry[at] ^= 0x20;
        assert!(DeviceList::begin(&scene.user, &altered).is_err(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_decode_to_an_entry_with_that_encoding_or_to_none(bytes: Vec<u8>, kind in 0..8_u8) {
        let mut entry = b"levi/device-list/v1".to_vec();
        entry.push(kind);
        entry.extend_from_slice(&bytes);
        if let Ok(decoded) = Entry::decode(&entry) {
            prop_assert_eq!(decoded.encode(), entry);
        }
    }

    #[test]
    fn any_row_is_skipped_or_read_but_never_a_panic(
        slot: u64, entry: String, signature: String, cosignature: Option<String>,
    ) {
        let scene = Scene::new(62);
        let mut rows = scene.rows.clone();
        rows.push(ListRow { slot, entry, signature, cosignature });
        prop_assert_eq!(scene.list.extend(&rows), Ok(scene.list.clone()));
        prop_assert!(DeviceList::read(&scene.user, EntryHash::ZERO, &rows).is_err());
    }
}
