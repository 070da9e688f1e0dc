//! The content of the vector files.

use levi_devices::entry::ListRow;
use serde::{Deserialize, Serialize};

pub(crate) mod device_list;
pub(crate) mod keyring;
pub(crate) mod message_v2;
pub(crate) mod pairing;
pub(crate) mod recovery_key;

#[path = "../../../tests/common/mod.rs"]
pub(crate) mod common;

#[path = "../../../../levi-crypto/examples/vectors/writer.rs"]
pub(crate) mod writer;

pub(crate) use writer::{Made, base64, flipped};

use writer::text;

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
