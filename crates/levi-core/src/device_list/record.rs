//! The list as this device stores it: the pin, the accepted entries, and the keyring under the database key.
//!
//! JSON: `{"pin": base64, "entries": [{"entry", "signature", "cosignature"}, ...], "keyring":
//! base64 or null, "alarm", "owes_keyrings"}`, or `{"not_on_list": true}` on a device that was
//! shown a list and is on none. `alarm` says that the server showed another history when it was
//! last asked, so that every process reports it, after a restart too. `owes_keyrings` says that
//! this device began the current epoch and has yet to write the keyrings, which nobody else can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_devices::entry::{ListRow, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_devices::pin::{Pin, PinError};
use levi_types::UserId;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use super::DeviceListProblem;

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Record {
    List(ListRecord),
    NotOnList(NotOnListRecord),
}

/// The server showed a list that this device is not on. From then on no answer of the server's makes it seal without one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotOnListRecord {
    not_on_list: bool,
}

#[derive(Serialize, Deserialize)]
struct ListRecord {
    pin: String,
    entries: Vec<StoredEntry>,
    keyring: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alarm: Option<Alarm>,
    #[serde(default, skip_serializing_if = "Keyrings::are_written")]
    owes_keyrings: Keyrings,
}

/// Whether every member's keyring of the current epoch is on the server, as far as this device has to care for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub(super) enum Keyrings {
    /// They are, or another device writes them.
    #[default]
    Written,
    /// This device began the epoch, and has yet to write them.
    Owed,
}

impl Keyrings {
    const fn are_written(&self) -> bool {
        matches!(self, Self::Written)
    }
}

impl From<bool> for Keyrings {
    fn from(are_owed: bool) -> Self {
        if are_owed { Self::Owed } else { Self::Written }
    }
}

impl From<Keyrings> for bool {
    fn from(keyrings: Keyrings) -> Self {
        keyrings == Keyrings::Owed
    }
}

/// How the list that the server shows differs from the one that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Alarm {
    Forked { slot: u64 },
    RolledBack { shown: Option<u64>, pinned: u64 },
    UnknownKind { kind: u8, slot: u64 },
}

impl Alarm {
    pub(super) const fn of(problem: &DeviceListProblem) -> Option<Self> {
        match *problem {
            DeviceListProblem::Pin(PinError::Forked { slot }) => Some(Self::Forked { slot }),
            DeviceListProblem::Pin(PinError::RolledBack { shown, pinned }) => {
                Some(Self::RolledBack { shown, pinned })
            }
            DeviceListProblem::Pin(PinError::UnknownKind { kind, slot }) => {
                Some(Self::UnknownKind { kind, slot })
            }
            _ => None,
        }
    }
}

impl From<Alarm> for DeviceListProblem {
    fn from(alarm: Alarm) -> Self {
        Self::Pin(match alarm {
            Alarm::Forked { slot } => PinError::Forked { slot },
            Alarm::RolledBack { shown, pinned } => PinError::RolledBack { shown, pinned },
            Alarm::UnknownKind { kind, slot } => PinError::UnknownKind { kind, slot },
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEntry {
    entry: String,
    signature: String,
    cosignature: Option<String>,
}

/// What was stored.
pub(super) enum Stored {
    List(Box<StoredList>),
    /// This device was shown a list, and is on none.
    NotOnList,
}

/// A list, and the secrets of its epochs if this device has them.
pub(super) struct StoredList {
    pub(super) list: DeviceList,
    pub(super) keyring: Option<Keyring>,
    pub(super) alarm: Option<Alarm>,
    pub(super) keyrings: Keyrings,
}

/// What is stored beside the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) alarm: Option<Alarm>,
    pub(super) keyrings: Keyrings,
}

/// The bytes to store. Without a database key the keyring is left out, and fetched again after a restart.
pub(super) fn encode(
    list: &DeviceList,
    keyring: Option<&Keyring>,
    marks: Marks,
    database_key: Option<&DatabaseKey>,
    random: &mut dyn CryptoRng,
) -> Vec<u8> {
    let user = list.user_id();
    let keyring = keyring.zip(database_key).and_then(|(keyring, key)| {
        // Exposed to be encrypted for the disk.
        let sealed = at_rest::seal(key, slot(user), &keyring.expose_bytes(), random);
        // Left out if the cipher refuses, which it does not do for 32 KiB.
        sealed.ok().map(|sealed| BASE64.encode(sealed))
    });
    let entries = list.entries().map(|signed| StoredEntry {
        entry: BASE64.encode(&signed.entry),
        signature: signed.signature.to_base64(),
        cosignature: signed.cosignature.map(|signature| signature.to_base64()),
    });
    let (pin, entries) = (BASE64.encode(list.pin().encode()), entries.collect());
    let Marks { alarm, keyrings: owes_keyrings } = marks;
    let record = ListRecord { pin, entries, keyring, alarm, owes_keyrings };
    serde_json::to_vec(&record).unwrap_or_default()
}

/// The bytes to store on a device that was shown a list and is on none.
pub(super) fn encode_not_on_list() -> Vec<u8> {
    serde_json::to_vec(&NotOnListRecord { not_on_list: true }).unwrap_or_default()
}

/// Reads what [`encode`] or [`encode_not_on_list`] returned.
///
/// # Errors
/// [`PinError::Damaged`] if it is not a list of `user` that leads to its pin. A keyring that cannot be read is left out.
pub(super) fn decode(
    bytes: &[u8],
    user: &UserId,
    database_key: Option<&DatabaseKey>,
) -> Result<Stored, PinError> {
    let record = match serde_json::from_slice(bytes).map_err(|_| PinError::Damaged)? {
        Record::List(record) => record,
        Record::NotOnList(NotOnListRecord { not_on_list: true }) => return Ok(Stored::NotOnList),
        Record::NotOnList(_) => return Err(PinError::Damaged),
    };
    let pin = BASE64.decode(&record.pin).map_err(|_| PinError::Damaged)?;
    let pin = Pin::decode(&pin)?;
    let entries: Result<Vec<SignedEntry>, _> = record.entries.into_iter().map(signed).collect();
    let list = DeviceList::restore(&pin, &entries?)?;
    if list.user_id() != user {
        return Err(PinError::Damaged);
    }
    let keyring = record.keyring.zip(database_key).and_then(|(sealed, key)| {
        let sealed = BASE64.decode(sealed).ok()?;
        let plain = at_rest::open(key, slot(user), &sealed).ok()?;
        Keyring::restore(&plain, &list).ok()
    });
    let (alarm, keyrings) = (record.alarm, record.owes_keyrings);
    Ok(Stored::List(Box::new(StoredList { list, keyring, alarm, keyrings })))
}

fn signed(stored: StoredEntry) -> Result<SignedEntry, PinError> {
    let StoredEntry { entry, signature, cosignature } = stored;
    // The slot is within the entry.
    let row = ListRow { slot: 0, entry, signature, cosignature };
    SignedEntry::from_row(&row).map_err(|_| PinError::Damaged)
}

fn slot(user: &UserId) -> Slot<'_> {
    Slot { table: "levi_device_list", row_key: user.as_str(), column: "keyring" }
}
