//! `recovery-key.json`

use levi_devices::recovery::RecoveryKey;
use serde::{Deserialize, Serialize};

use super::common::rng;
use super::{Made, base64};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) text: String,
    /// The group that the error names, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<Keys>,
}

/// Where the text parses: the key, the three derived from it, and their public keys.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) key: String,
    pub(crate) ed25519_seed: String,
    pub(crate) x25519_private_key: String,
    pub(crate) xwing_seed: String,
    pub(crate) ed25519_public_key: String,
    pub(crate) x25519_public_key: String,
    pub(crate) xwing_public_key: String,
}

impl Keys {
    pub(crate) fn of(key: &RecoveryKey) -> Made<Self> {
        let private = key.member_keys();
        let public = private.public_keys()?;
        Ok(Self {
            // Keys made for this file, from a seed that is published with it.
            key: base64(key.expose_bytes()),
            ed25519_seed: base64(private.signing.expose_bytes()),
            x25519_private_key: base64(private.envelope.expose_bytes()),
            xwing_seed: base64(private.keyring.expose_bytes()),
            ed25519_public_key: base64(public.signing().as_bytes()),
            x25519_public_key: base64(public.envelope().as_bytes()),
            xwing_public_key: base64(public.keyring()),
        })
    }
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let key = RecoveryKey::generate(&mut rng(90));
    let text = key.expose_text().expose().to_owned();
    let parses = |name: &str, key: &RecoveryKey, text: &str| -> Made<Case> {
        let (expected, name, text) = ("parses".to_owned(), name.to_owned(), text.to_owned());
        Ok(Case { expected, name, text, group: None, keys: Some(Keys::of(key)?) })
    };
    let zeros = RecoveryKey::from_bytes([0; 32]);
    let ones = RecoveryKey::from_bytes([0xff; 32]);
    let mut cases = vec![
        parses("as it is shown", &key, &text)?,
        parses("32 bytes of zeros", &zeros, zeros.expose_text().expose())?,
        parses("32 bytes of ones", &ones, ones.expose_text().expose())?,
        parses(
            "in lower case, with spaces",
            &key,
            &text.to_lowercase().replace('-', " ").replace("levi rk1 ", "levi-rk1-"),
        )?,
        parses("without its prefix and without hyphens", &key, &text["levi-rk1-".len()..].replace('-', ""))?,
        parses("O for 0 and l for 1", &zeros, &zeros.expose_text().expose().replace('0', "O"))?,
    ];
    failures(&text, &mut cases);
    Ok(cases)
}

fn failures(text: &str, cases: &mut Vec<Case>) {
    let mut add = |expected: &str, name: &str, text: String, group: Option<usize>| {
        let (expected, name) = (expected.to_owned(), name.to_owned());
        cases.push(Case { expected, name, text, group, keys: None });
    };
    let groups: Vec<&str> = text["levi-rk1-".len()..].split('-').collect();
    let with = |index: usize, group: &str| {
        let mut groups = groups.clone();
        groups[index] = group;
        format!("levi-rk1-{}", groups.join("-"))
    };
    let other = |character: char| if character == '0' { '1' } else { '0' };
    for index in [0, 6, 13] {
        let group: String =
            groups[index].char_indices().map(|(at, c)| if at == 2 { other(c) } else { c }).collect();
        let name = format!("a wrong character in group {}", index + 1);
        add("checksum", &name, with(index, &group), Some(index + 1));
    }
    let pair: String = groups[3].char_indices().map(|(at, c)| if at < 2 { other(c) } else { c }).collect();
    add("checksum", "two wrong characters in one pair", with(3, &pair), Some(4));
    let mut middle: Vec<char> = groups[8].chars().collect();
    middle.swap(1, 2);
    add(
        "checksum",
        "two characters of group 9 exchanged across pairs",
        with(8, &middle.iter().collect::<String>()),
        Some(9),
    );
    let mut swapped = groups.clone();
    swapped.swap(2, 9);
    add("checksum", "groups 3 and 10 exchanged", format!("levi-rk1-{}", swapped.join("-")), None);
    add("character", "a U in group 5", with(4, "0U00"), Some(5));
    add("group-length", "three characters in group 2", with(1, &groups[1][..3]), Some(2));
    add("length", "a group too few", format!("levi-rk1-{}", groups[..13].join("-")), None);
    add("length", "a group too many", format!("{text}-0000"), None);
    add("length", "nothing after the prefix", "levi-rk1-".to_owned(), None);
    add("prefix", "another version", text.replacen("rk1", "rk2", 1), None);
    add(
        "prefix",
        "a session secret's beginning is no prefix, but levi- is one",
        "levi-0000".to_owned(),
        None,
    );
    add("not-a-key", "a check that fits, with bits in it that encode nothing", NOT_A_KEY.to_owned(), None);
}

/// 51 zeros, a 1, and the check that fits.
const NOT_A_KEY: &str = "levi-rk1-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0000-0001-G5G4";
