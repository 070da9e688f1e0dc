//! The rows of a signed device list. Their columns are not checked here: they may hold anything.

use levi_types::{DeviceId, UserId};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::table::Table;

/// A row of `levi_device_list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceListRow {
    /// The user whose list it is.
    pub user_id: UserId,
    /// The row's place in the list.
    pub slot: i64,
    /// base64 of the entry.
    pub entry: String,
    /// base64 of 64 bytes.
    pub signature: String,
    /// base64 of 64 bytes, where the entry's kind asks for it.
    pub cosignature: Option<String>,
}

impl Record for DeviceListRow {
    const TABLE: Table = Table::DeviceList;
}

/// A row of `levi_keyrings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringRow {
    /// The user whose list it is.
    pub user_id: UserId,
    /// The member for whom it is sealed.
    pub member_id: DeviceId,
    /// The last epoch in it.
    pub epoch: u32,
    /// base64 of X-Wing's encapsulated key.
    pub enc: String,
    /// base64 of ciphertext and tag.
    pub sealed: String,
}

impl Record for KeyringRow {
    const TABLE: Table = Table::Keyrings;
}

/// A row of `levi_pairings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingRow {
    /// The user of both devices.
    pub user_id: UserId,
    /// Derived from the pairing code.
    pub id: String,
    /// What the new device asks.
    pub request: String,
    /// What the device that is on the list answers.
    pub answer: Option<String>,
    /// The new device's signature over the entry that adds it.
    pub cosignature: Option<String>,
}

impl Record for PairingRow {
    const TABLE: Table = Table::Pairings;
}
