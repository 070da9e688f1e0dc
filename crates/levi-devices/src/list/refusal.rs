//! Why an entry is not accepted.

use levi_crypto::message_v2::Epoch;
use levi_types::DeviceId;

use super::{MAX_ENTRIES, MAX_MEMBERS};
use crate::entry::EntryError;

/// Why an entry is not accepted. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The bytes are not an entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It belongs to another user's list.
    #[error("the entry belongs to another user; sign in as the right user and build it again")]
    OtherUser,
    /// It does not follow the head: another entry came first.
    #[error("the device list has changed meanwhile; read it and build the entry again")]
    NotOnHead,
    /// Its slot is not a later one, or is above 1999.
    #[error("the entry's slot {slot} is not free; read the list and build the entry again")]
    Slot {
        /// The entry's slot.
        slot: u64,
    },
    /// A genesis after the first entry, or another kind as the first entry.
    #[error("a list begins with one genesis; read the list and build the entry again")]
    Genesis,
    /// The signer is not an active member.
    #[error("{0} is not an active member of the device list; run `levi pair` on it")]
    SignerNotActive(DeviceId),
    /// A device signed a kind that only the recovery key may sign, or the other way round.
    #[error("{0} may not sign this kind of entry; devices add and remove, the recovery key recovers")]
    SignerType(DeviceId),
    /// The signature does not verify.
    #[error("the entry's signature does not verify; do not trust it")]
    Signature,
    /// The cosignature is missing or does not verify.
    #[error("the new member's cosignature is missing or does not verify; pair again")]
    Cosignature,
    /// A cosignature where the kind has none.
    #[error("the entry has a cosignature, but its kind has none; do not trust it")]
    UnexpectedCosignature,
    /// A device where the kind asks for a recovery key, or the other way round.
    #[error("the entry's new member has the wrong type; build the entry again")]
    MemberType,
    /// The list has or had a member with this id.
    #[error("the list has or had a member {0}; register the device again, so that it gets another id")]
    IdTaken(DeviceId),
    /// The list has or had a member with one of the keys.
    #[error("the list has or had a member with the same key; create new keys for this device")]
    KeyTaken,
    /// The device to remove is not an active one, or is named twice.
    #[error("{0} is not an active device of the list; run `levi devices` to see those that are")]
    NotADevice(DeviceId),
    /// The last device cannot be removed.
    #[error("the last device cannot be removed; add another first with `levi pair`")]
    LastDevice,
    /// The epoch is not the next one.
    #[error("the entry begins epoch {found}, which does not follow {last}; read the list and build it again")]
    WrongEpoch {
        /// The entry's epoch.
        found: Epoch,
        /// The last epoch before it.
        last: Epoch,
    },
    /// The list has 32 active members.
    #[error("the list has {MAX_MEMBERS} active members; remove a device that is no longer used")]
    TooManyMembers,
    /// The list has 1,000 entries.
    #[error(
        "the list has {MAX_ENTRIES} entries and takes no more; its devices keep working, and a new list needs a new user"
    )]
    TooManyEntries,
}
