//! The text of a recovery key, and what a person is told who mistypes it.

use levi_devices::recovery::{PREFIX, RecoveryKey, RecoveryKeyError};
use proptest::prelude::*;

fn characters(key: &RecoveryKey) -> Vec<char> {
    let text = key.expose_text();
    text.expose()[PREFIX.len()..].chars().filter(|character| *character != '-').collect()
}

fn parse(characters: &[char]) -> Result<RecoveryKey, RecoveryKeyError> {
    RecoveryKey::parse(&characters.iter().collect::<String>())
}

/// Whether the message leads the person to one of the groups.
fn names(result: &Result<RecoveryKey, RecoveryKeyError>, groups: &[usize]) -> bool {
    matches!(result, Err(RecoveryKeyError::Checksum { group: Some(group) }) if groups.contains(group))
}

#[test]
fn the_text_is_read_back_however_it_is_written() {
    let key = RecoveryKey::from_bytes([0xa5; 32]);
    let text = key.expose_text();
    let text = text.expose();
    assert_eq!(text.len(), "levi-rk1-".len() + 14 * 4 + 13);
    let without_prefix = &text[PREFIX.len()..];
    let lookalikes = text.replace('0', "o").replace("-1", "-l");
    for typed in [
        text,
        without_prefix,
        &text.to_uppercase(),
        &text.to_lowercase(),
        &format!(" {text}\n"),
        &without_prefix.replace('-', " "),
        &without_prefix.replace('-', ""),
        &lookalikes,
    ] {
        assert_eq!(RecoveryKey::parse(typed), Ok(key.clone()), "{typed}");
    }
    assert_eq!(format!("{key:?}"), "RecoveryKey(..)");
}

#[test]
fn malformed_texts_have_their_own_errors() {
    let text = RecoveryKey::from_bytes([7; 32]).expose_text();
    let text = text.expose();
    let with = |from: usize, to: usize, by: &str| format!("{}{by}{}", &text[..from], &text[to..]);
    let table = [
        ("", RecoveryKeyError::Length { characters: 0 }),
        ("levi-rk1-", RecoveryKeyError::Length { characters: 0 }),
        ("levi-rk2-0000", RecoveryKeyError::Prefix),
        (&with(9, 13, "0U00"), RecoveryKeyError::Character { group: 1 }),
        (&with(14, 18, "000"), RecoveryKeyError::GroupLength { group: 2, characters: 3 }),
        (&with(14, 19, ""), RecoveryKeyError::Length { characters: 52 }),
        (&format!("{text}-0000"), RecoveryKeyError::Length { characters: 60 }),
        ("0000-\u{E4}000", RecoveryKeyError::Character { group: 2 }),
    ];
    for (typed, expected) in table {
        assert_eq!(RecoveryKey::parse(typed), Err(expected), "{typed:?}");
    }
    // The last character of the data carries one bit of the key and four that must be zero.
    let zeros = "0".repeat(56);
    assert_eq!(RecoveryKey::parse(&zeros), Ok(RecoveryKey::from_bytes([0; 32])));
}

#[test]
fn derived_keys_differ_from_each_other_and_from_the_key() {
    let key = RecoveryKey::from_bytes([3; 32]);
    let keys = key.member_keys();
    let all = [
        *key.expose_bytes(),
        *keys.signing.expose_bytes(),
        *keys.envelope.expose_bytes(),
        *keys.keyring.expose_bytes(),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(all[index + 1..].iter().all(|other| other != one));
    }
    assert_eq!(RecoveryKey::from_bytes([3; 32]).member_keys(), keys);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_wrong_pair_of_characters_is_found_in_its_group(
        bytes: [u8; 32],
        pair in 0..28_usize,
        first in 0..32_usize,
        second in 0..32_usize,
    ) {
        let alphabet: Vec<char> = "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().collect();
        let key = RecoveryKey::from_bytes(bytes);
        let mut typed = characters(&key);
        let right = typed.clone();
        typed[2 * pair] = alphabet[first];
        typed[2 * pair + 1] = alphabet[second];
        let parsed = parse(&typed);
        if typed == right {
            prop_assert_eq!(parsed, Ok(key));
        } else {
            prop_assert!(names(&parsed, &[pair / 2 + 1]), "{:?}", parsed);
        }
    }

    #[test]
    fn two_exchanged_characters_are_noticed_and_mostly_found(bytes: [u8; 32], at in 1..56_usize) {
        let key = RecoveryKey::from_bytes(bytes);
        let mut typed = characters(&key);
        let right = typed.clone();
        typed.swap(at - 1, at);
        let parsed = parse(&typed);
        if typed == right {
            prop_assert_eq!(parsed, Ok(key));
        } else if at % 2 == 1 {
            prop_assert!(names(&parsed, &[at / 4 + 1]), "{:?}", parsed);
        } else {
            prop_assert!(matches!(parsed, Err(RecoveryKeyError::Checksum { .. })), "{:?}", parsed);
        }
    }
}
