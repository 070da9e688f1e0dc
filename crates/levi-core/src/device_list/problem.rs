//! Whether the device list can be relied on now, and if not, why nothing is sealed.

use levi_devices::keyring::KeyringError;
use levi_devices::pin::PinError;
use levi_outbox::Reason;
use serde::{Serialize, Serializer};

/// What this device knows of its user's signed device list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceListState {
    /// No signed list is used: every active row of the table `devices` is given the secrets of sessions, so
    /// anyone who holds the user's token can add a device.
    #[default]
    DeviceTable,
    /// This device is on the list, and gives secrets to the others on it and to nobody else.
    Listed {
        /// The epoch that messages are sealed in.
        epoch: u32,
        /// Devices on the list, this one included.
        devices: usize,
    },
    /// Nothing is sealed: messages wait on this device, under the database key.
    Stopped(DeviceListProblem),
}

impl DeviceListState {
    /// Whether messages can be sealed.
    pub const fn may_seal(&self) -> bool {
        !matches!(self, Self::Stopped(_))
    }
}

/// `{"mode": "device_table"}`, `{"mode": "listed", "epoch": 1, "devices": 2}`, or `{"mode": "stopped", "code": ..,
/// "detail": ..}`.
impl Serialize for DeviceListState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "mode", rename_all = "snake_case")]
        enum Shape {
            DeviceTable,
            Listed { epoch: u32, devices: usize },
            Stopped { code: &'static str, detail: String },
        }
        let shape = match self {
            Self::DeviceTable => Shape::DeviceTable,
            Self::Listed { epoch, devices } => Shape::Listed { epoch: *epoch, devices: *devices },
            Self::Stopped(problem) => Shape::Stopped { code: problem.code(), detail: problem.to_string() },
        };
        shape.serialize(serializer)
    }
}

/// Why nothing is sealed for the server now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceListProblem {
    /// The server was not asked yet whether the user has a list.
    #[error("the device list was not fetched yet; it will be as soon as the server answers")]
    NotLooked,
    /// The user has a list, and this device never was on it.
    #[error(
        "the user's devices keep a signed list, and this one is not on it; run `levi pair` on a device that is"
    )]
    NotOnList,
    /// This device was on the list, and was removed.
    #[error(
        "this device was removed from the device list; to use it again, sign in to a new data folder and pair it"
    )]
    Removed,
    /// The list that the server shows does not continue the one that this device has seen.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The current epoch's secret is not there for this device (yet).
    #[error(
        "the keyring of the current epoch is not there for this device; the device that changed the list writes it"
    )]
    NoKeyring,
    /// The keyring cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// What this device remembers of the list cannot be read or written.
    #[error("the device list could not be stored on this device or read: {0}")]
    Store(String),
}

impl DeviceListProblem {
    /// A short code, for logs and rows that wait.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotLooked => "device_list_not_looked_at",
            Self::NotOnList => "not_on_device_list",
            Self::Removed => "removed_from_device_list",
            Self::Pin(PinError::Forked { .. }) => "device_list_forked",
            Self::Pin(PinError::RolledBack { .. }) => "device_list_rolled_back",
            Self::Pin(PinError::UnknownKind { .. }) => "device_list_newer",
            Self::Pin(_) => "device_list_damaged",
            Self::NoKeyring => "no_keyring",
            Self::Keyring(_) => "bad_keyring",
            Self::Store(_) => "device_list_store",
        }
    }

    /// Whether the server shows another history than the one that this device has seen, which a person should look into.
    pub const fn is_alarm(&self) -> bool {
        matches!(self, Self::Pin(PinError::Forked { .. } | PinError::RolledBack { .. }) | Self::Keyring(_))
    }

    pub(crate) fn to_reason(&self) -> Reason {
        Reason { code: self.code().into(), detail: self.to_string() }
    }
}
