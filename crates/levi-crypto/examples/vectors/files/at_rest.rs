//! `at-rest.json`

use levi_crypto::at_rest::{self, DatabaseKey, OVERHEAD_BYTES, Slot};
use serde::{Deserialize, Serialize};

use super::{Made, base64, flipped, rng};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) database_key: String,
    pub(crate) table: String,
    pub(crate) row_key: String,
    pub(crate) column: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plain: Option<String>,
    pub(crate) wrapped: String,
}

const SLOT: Slot<'_> = Slot { table: "levi_secrets", row_key: "session-1", column: "secret" };

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut rng = rng(5);
    let key = DatabaseKey::generate(&mut rng);
    let mut cases = Vec::new();
    let values: [(&str, Slot<'_>, &[u8]); 5] = [
        ("text", SLOT, b"a value"),
        ("nothing", SLOT, b""),
        ("bytes that are no text", SLOT, &[0, 0xFF, 0xC3, 0x28]),
        ("empty names", Slot { table: "", row_key: "", column: "" }, b"a value"),
        (
            "a name whose length in bytes is not that in characters",
            Slot { row_key: "\u{E4}\u{1F600}", ..SLOT },
            b"x",
        ),
    ];
    for (name, slot, plain) in values {
        let sealed = at_rest::seal(&key, slot, plain, &mut rng)?;
        cases.push(Case { plain: Some(base64(plain)), ..case("opens", name, &key, slot, &sealed) });
    }

    let sealed = at_rest::seal(&key, SLOT, b"a value", &mut rng)?;
    let last = sealed.len() - 1;
    let other_key = DatabaseKey::generate(&mut rng);
    cases.extend([
        case("forged", "a changed bit in the nonce", &key, SLOT, &flipped(&sealed, 0)),
        case("forged", "a changed bit in the value", &key, SLOT, &flipped(&sealed, 24)),
        case("forged", "a changed bit in the tag", &key, SLOT, &flipped(&sealed, last)),
        case("forged", "one byte cut off", &key, SLOT, &sealed[..last]),
        case("forged", "another key", &other_key, SLOT, &sealed),
        case("forged", "another table", &key, Slot { table: "levi_outbox", ..SLOT }, &sealed),
        case("forged", "another row", &key, Slot { row_key: "session-2", ..SLOT }, &sealed),
        case("forged", "another column", &key, Slot { column: "Secret", ..SLOT }, &sealed),
        case(
            "forged",
            "a letter moved from one name to the next",
            &key,
            Slot { table: "levi_secretss", row_key: "ession-1", ..SLOT },
            &sealed,
        ),
        case("truncated", "less than nonce and tag", &key, SLOT, &sealed[..OVERHEAD_BYTES - 1]),
        case("truncated", "less than a nonce", &key, SLOT, &sealed[..23]),
        case("truncated", "no bytes", &key, SLOT, &[]),
    ]);
    Ok(cases)
}

fn case(expected: &str, name: &str, key: &DatabaseKey, slot: Slot<'_>, sealed: &[u8]) -> Case {
    Case {
        expected: expected.to_owned(),
        name: name.to_owned(),
        // A key made for this file, from a seed that is published with it.
        database_key: base64(key.expose_bytes()),
        table: slot.table.to_owned(),
        row_key: slot.row_key.to_owned(),
        column: slot.column.to_owned(),
        plain: None,
        wrapped: base64(sealed),
    }
}
