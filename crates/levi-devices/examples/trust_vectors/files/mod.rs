//! The content of the vector files.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_devices::entry::ListRow;
use serde::{Deserialize, Serialize};

pub(crate) mod device_list;
pub(crate) mod keyring;
pub(crate) mod message_v2;
pub(crate) mod pairing;
pub(crate) mod recovery_key;

#[path = "../../../tests/common/mod.rs"]
pub(crate) mod common;

pub(crate) type Made<T> = Result<T, Box<dyn Error>>;

/// One file: the format's version label, then its cases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VectorFile<Case> {
    pub(crate) format: String,
    pub(crate) vectors: Vec<Case>,
}

/// Every file's name and text.
pub(crate) fn all() -> Made<Vec<(&'static str, String)>> {
    Ok(vec![
        ("device-list.json", text("levi/device-list/v1", device_list::cases()?)?),
        ("keyring.json", text("levi/keyring/v1", keyring::cases()?)?),
        ("message-v2.json", text("levi/message/v2", message_v2::cases()?)?),
        ("pairing.json", text("levi/pair/v1", pairing::cases()?)?),
        ("recovery-key.json", text("levi/recovery/v1", recovery_key::cases()?)?),
    ])
}

fn text<Case: Serialize>(format: &str, vectors: Vec<Case>) -> Made<String> {
    let file = VectorFile { format: format.to_owned(), vectors };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// A row of the list, with the table's column names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) slot: u64,
    pub(crate) entry: String,
    pub(crate) signature: String,
    pub(crate) cosignature: Option<String>,
}

impl From<&ListRow> for Row {
    fn from(row: &ListRow) -> Self {
        let ListRow { slot, entry, signature, cosignature } = row.clone();
        Self { slot, entry, signature, cosignature }
    }
}

impl From<Row> for ListRow {
    fn from(row: Row) -> Self {
        let Row { slot, entry, signature, cosignature } = row;
        Self { slot, entry, signature, cosignature }
    }
}

pub(crate) fn rows(rows: &[ListRow]) -> Vec<Row> {
    rows.iter().map(Row::from).collect()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// `bytes` with the lowest bit of byte `at` flipped.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
