//! Why the list was not changed.

use levi_devices::draft::ListFull;
use levi_devices::keyring::KeyringError;
use levi_devices::list::{ReadError, Refusal};
use levi_devices::pairing::PairingError;
use levi_devices::{Epoch, InvalidMember, PublicKeyError, SignatureError};
use levi_transport::ApiError;
use levi_types::{AuthError, DeviceId};

use crate::device_list::{DeviceListProblem, LookError};
use crate::request_error::RequestError;

/// Why the device list was not read or changed. No variant holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceListError {
    /// Nobody is signed in, or the sign-in cannot be used now.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The server refused the request or could not be reached.
    #[error("the request to Supabase failed: {0}")]
    Supabase(#[from] ApiError),
    /// The list cannot be relied on now.
    #[error(transparent)]
    Problem(#[from] DeviceListProblem),
    /// The user has no signed list.
    #[error("there is no signed device list yet; begin one with `levi init`")]
    NoList,
    /// The user has a list already.
    #[error(
        "the user's devices keep a signed list already; run `levi pair` on a device that is on it, or `levi recover` if \
         all are lost. If none of your devices began it, somebody else did with your sign-in: see docs/trust.md"
    )]
    ListExists,
    /// This device is on the list already.
    #[error(
        "this device is on the device list already; see `levi devices`. It removes others with `levi remove`; to cut off \
         what a thief signed, recover in a new data folder"
    )]
    AlreadyListed,
    /// Other devices are registered, and would read no new messages.
    #[error(
        "{} other devices of this user are registered ({}); they read no new messages until they are paired. \
         Begin the list all the same with `levi init --migrate`, then run `levi pair`",
        .0.len(), .0.join(", ")
    )]
    OtherDevices(Vec<String>),
    /// This device has no active row with this device's key in the table `devices`.
    #[error("this device is not registered; run `levi login` first")]
    NotRegistered,
    /// No device on the list has the name or the fingerprint.
    #[error("no device on the list is called {0:?} or has a fingerprint that begins so; see `levi devices`")]
    NoSuchDevice(String),
    /// Several devices on the list have the name or the fingerprint.
    #[error("several devices on the list match {typed:?}; name one by its fingerprint: {}", matches.join(", "))]
    Ambiguous {
        /// What was typed.
        typed: String,
        /// The fingerprints that match.
        matches: Vec<String>,
    },
    /// No device of this user has shown the code.
    #[error(
        "no device of yours shows this pairing code; compare it with the other device's screen, and see that both are \
         signed in as the same user"
    )]
    CodeNotShown,
    /// Somebody used the code before.
    #[error("this pairing code was used already; show a new one with `levi pair`")]
    CodeUsed,
    /// The other device did not answer in time.
    #[error("the other device did not answer in time; show a new code with `levi pair`")]
    TimedOut,
    /// Other devices changed the list again and again at the same time.
    #[error("other devices change the device list at the same time; try again")]
    Raced,
    /// There is no entry at the slot.
    #[error("the device list has no entry at slot {0}; see `levi devices`")]
    NoSuchEntry(u64),
    /// The recovery key does not have the secrets of the list's last epochs: the device that began them did not write its
    /// keyring, or somebody has put an older one back.
    #[error(
        "the recovery key has the secrets of epochs up to {known} only, and the list is in epoch {epoch}; what was sealed \
         since could not be read any more. If a device of the list is left, run `levi verify` on it, which writes the \
         keyring again, and try again. If none is, `levi recover --after {after}` gives these epochs up"
    )]
    OlderKeyring {
        /// The last epoch whose secret the recovery key has.
        known: Epoch,
        /// The list's.
        epoch: Epoch,
        /// The slot of the last entry in `known`.
        after: u64,
    },
    /// The list would not take the entry.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The pairing failed.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// The list cannot be read with the recovery key.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The keyring cannot be used.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The list has no free slot.
    #[error(transparent)]
    Full(#[from] ListFull),
    /// The device's name or id cannot be a member's.
    #[error(transparent)]
    Member(#[from] InvalidMember),
    /// This device's keys cannot be used.
    #[error(transparent)]
    Keys(#[from] PublicKeyError),
    /// This device's signing key cannot be used.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl From<RequestError> for DeviceListError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Api(error) => Self::Supabase(error),
            RequestError::TokenRefused { auth, .. } => Self::Auth(auth),
        }
    }
}

impl From<LookError> for DeviceListError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Server(error) => Self::Supabase(error),
            LookError::Store(problem) => Self::Problem(problem),
            LookError::Overtaken => Self::Raced,
        }
    }
}

impl DeviceListError {
    /// The removal of this device from the list by itself, the last one, and so on, are refusals of the list; this one is
    /// about a device that is not on it.
    pub(super) fn no_such(id: &DeviceId) -> Self {
        Self::NoSuchDevice(id.to_string())
    }
}
