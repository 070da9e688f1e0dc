//! Properties of every sealed value: it opens in its slot, and no altered value opens.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_crypto::at_rest::{self, DatabaseKey, OVERHEAD_BYTES, Slot};
use levi_crypto::{KeyTextError, OpenError};
use proptest::prelude::*;

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

/// Every ASCII text that differs from `text` in one bit.
fn neighbours(text: &str) -> impl Iterator<Item = String> {
    (0..text.len() * 8)
        .filter(|bit| bit % 8 != 7)
        .map(|bit| String::from_utf8(flip(text.as_bytes(), bit)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_opens_in_its_slot_and_nothing_changed_opens(
        key in any::<[u8; 32]>(),
        names in ["[ -~]{0,12}", "[ -~]{0,12}", "[ -~]{0,12}"],
        plain in prop::collection::vec(any::<u8>(), 0..40),
        seed in any::<[u8; 32]>(),
    ) {
        let key = DatabaseKey::from_bytes(key);
        let [table, row_key, column] = names.each_ref().map(String::as_str);
        let slot = Slot { table, row_key, column };
        let sealed = at_rest::seal(&key, slot, &plain, &mut ChaCha20Rng::from_seed(seed)).unwrap();
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD_BYTES);
        prop_assert_eq!(&*at_rest::open(&key, slot, &sealed).unwrap(), &plain);

        for bit in 0..sealed.len() * 8 {
            prop_assert_eq!(at_rest::open(&key, slot, &flip(&sealed, bit)), Err(OpenError::Forged));
        }
        for bit in 0..256 {
            let other = DatabaseKey::from_bytes(flip(key.expose_bytes(), bit).try_into().unwrap());
            prop_assert_eq!(at_rest::open(&other, slot, &sealed), Err(OpenError::Forged));
        }
        for bytes in 0..sealed.len() {
            let expected = if bytes < OVERHEAD_BYTES { OpenError::Truncated { bytes } } else { OpenError::Forged };
            prop_assert_eq!(at_rest::open(&key, slot, &sealed[..bytes]), Err(expected));
        }
        for name in neighbours(table) {
            prop_assert_eq!(at_rest::open(&key, Slot { table: &name, ..slot }, &sealed), Err(OpenError::Forged));
        }
        for name in neighbours(row_key) {
            prop_assert_eq!(at_rest::open(&key, Slot { row_key: &name, ..slot }, &sealed), Err(OpenError::Forged));
        }
        for name in neighbours(column) {
            prop_assert_eq!(at_rest::open(&key, Slot { column: &name, ..slot }, &sealed), Err(OpenError::Forged));
        }
    }

    #[test]
    fn a_letter_does_not_move_from_one_name_to_the_next(
        names in ["[ -~]{1,12}", "[ -~]{1,12}", "[ -~]{1,12}"],
    ) {
        let key = DatabaseKey::from_bytes([3; 32]);
        let [table, row_key, column] = names.each_ref().map(String::as_str);
        let sealed =
            at_rest::seal(&key, Slot { table, row_key, column }, b"x", &mut ChaCha20Rng::from_seed([1; 32])).unwrap();
        let moved = format!("{table}{}", &row_key[..1]);
        let slot = Slot { table: &moved, row_key: &row_key[1..], column };
        prop_assert_eq!(at_rest::open(&key, slot, &sealed), Err(OpenError::Forged));
        let moved = format!("{row_key}{}", &column[..1]);
        let slot = Slot { table, row_key: &moved, column: &column[1..] };
        prop_assert_eq!(at_rest::open(&key, slot, &sealed), Err(OpenError::Forged));
    }
}

#[test]
fn a_stored_key_survives_as_text_and_anything_else_is_refused() {
    let key = DatabaseKey::generate(&mut ChaCha20Rng::from_seed([5; 32]));
    let text = key.expose_base64();
    assert_eq!(DatabaseKey::from_base64(text.expose()), Ok(key.clone()));
    assert_eq!(format!("{key:?} {text:?}"), "DatabaseKey(..) SecretString(..)");
    let table = [
        ("", KeyTextError::WrongLength { bytes: 0 }),
        ("AAAA", KeyTextError::WrongLength { bytes: 3 }),
        (&text.expose()[..43], KeyTextError::NotBase64),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", KeyTextError::NotBase64),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KeyTextError::WrongLength { bytes: 33 }),
        ("not a key", KeyTextError::NotBase64),
    ];
    for (text, expected) in table {
        assert_eq!(DatabaseKey::from_base64(text), Err(expected), "{text:?}");
    }
}
