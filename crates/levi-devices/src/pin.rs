//! A device's record of the list, so that the server cannot show it another one.
//!
//! ```text
//! pin  "levi/pin/v1" || lp(user_id) || genesis(32) || head(32) || u64 slot
//! ```
//!
//! A device stores its pin and the accepted entries. The rows that the server shows it later must
//! contain the pinned head:
//!
//! - They contain it: entries after it extend the list.
//! - They end before it: [`PinError::RolledBack`].
//! - They differ after an entry before it: [`PinError::Forked`]. One exception: a recovery (kind 5)
//!   under the recovery key of the pinned history, with an epoch above all that the device has
//!   seen.
//!
//! After either error the device seals nothing until the server shows the pinned history again, or
//! a person has decided.

use levi_types::UserId;

use crate::bytes::{Reader, Writer};
use crate::entry::{Body, Entry, ListRow, SignedEntry};
use crate::hash::EntryHash;
use crate::list::read::{Walked, decoded, geneses, walk};
use crate::list::{DeviceList, Link, ReadError};

const LABEL: &str = "levi/pin/v1";

/// What a device remembers of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The user whose list it is.
    pub user_id: UserId,
    /// The hash of the genesis.
    pub genesis: EntryHash,
    /// The hash of the last entry seen.
    pub head: EntryHash,
    /// Its slot.
    pub slot: u64,
}

impl Pin {
    /// The pin's one encoding, for the device's store.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new(LABEL);
        writer.text(self.user_id.as_str()).bytes(self.genesis.as_bytes()).bytes(self.head.as_bytes());
        writer.u64(self.slot).finish()
    }

    /// Decodes what [`encode`](Self::encode) returns.
    ///
    /// # Errors
    /// [`PinError::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PinError> {
        Self::read(&mut Reader::new(bytes)).filter(|pin| pin.encode() == bytes).ok_or(PinError::Damaged)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.slice(LABEL.len())? != LABEL.as_bytes() {
            return None;
        }
        Some(Self {
            user_id: UserId::from(reader.text()?),
            genesis: EntryHash::from_bytes(*reader.array()?),
            head: EntryHash::from_bytes(*reader.array()?),
            slot: reader.u64()?,
        })
    }
}

impl DeviceList {
    /// The record by which a device detects a rewritten list.
    pub fn pin(&self) -> Pin {
        Pin { user_id: self.user_id().clone(), genesis: self.genesis(), head: self.head(), slot: self.slot() }
    }

    /// Restores a list from the pin and the entries that the device stored.
    ///
    /// No signature is verified, because the pinned hash of the head covers every entry before it,
    /// and they were verified before they were pinned. So a start costs hashes only.
    ///
    /// # Errors
    /// [`PinError::Damaged`] if the entries do not lead to the pinned head.
    pub fn restore<'e>(
        pin: &Pin,
        entries: impl IntoIterator<Item = &'e SignedEntry>,
    ) -> Result<Self, PinError> {
        let list = Self::replay(entries).map_err(|_| PinError::Damaged)?;
        if list.pin() == *pin { Ok(list) } else { Err(PinError::Damaged) }
    }

    /// Reads the rows that the server shows now, and checks that they extend this list.
    ///
    /// Rows must be all of the user's, from slot 0. Signatures are verified for entries that this
    /// list does not have.
    ///
    /// # Errors
    /// [`PinError::Forked`] or [`PinError::RolledBack`]: the device goes on with this list and
    /// seals nothing.
    /// [`PinError::UnknownKind`]: likewise, until Levi is updated.
    pub fn extend(&self, rows: &[ListRow]) -> Result<Self, PinError> {
        let rows = decoded(rows);
        let walked = walk(self.user_id(), self.genesis(), &rows, |signed| self.contains(signed));
        match walked.and_then(Walked::whole) {
            Ok(shown) => self.compare(shown),
            Err(ReadError::UnknownKind { kind, slot }) => Err(PinError::UnknownKind { kind, slot }),
            // Another genesis in place of the pinned one is a fork; no entry at all is a rollback.
            Err(_) if geneses(self.user_id(), &rows).is_empty() => {
                Err(PinError::RolledBack { shown: None, pinned: self.slot() })
            }
            Err(_) => Err(PinError::Forked { slot: 0 }),
        }
    }

    fn compare(&self, shown: Self) -> Result<Self, PinError> {
        if shown.has_seen(self.head()) {
            return Ok(shown);
        }
        let pairs = self.chain().iter().zip(shown.chain());
        let common = pairs.take_while(|(ours, theirs)| ours.hash == theirs.hash).count();
        match shown.chain().get(common) {
            None => Err(PinError::RolledBack { shown: Some(shown.slot()), pinned: self.slot() }),
            Some(other) if self.is_cut_off_by(other) => Ok(shown),
            Some(other) => Err(PinError::Forked { slot: other.slot }),
        }
    }

    /// Whether `link`, which follows an ancestor of the head, is a recovery by the recovery key of
    /// this list, above every epoch seen. Its signature was verified by the key of the signer's id
    /// at that ancestor, and ids are not reused.
    fn is_cut_off_by(&self, link: &Link) -> bool {
        let Ok(entry) = Entry::decode(&link.signed.entry) else { return false };
        let Body::Recover { rotation, .. } = &entry.body else { return false };
        let by_recovery_key = self.recovery().is_some_and(|member| *member.id() == entry.header.signer_id);
        by_recovery_key && rotation.epoch > self.last_epoch()
    }
}

/// Why the list that the server shows is not the pinned one, continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The list differs after an entry before the pinned one.
    #[error(
        "the server shows a device list that differs from this device's at slot {slot}; nothing is sealed until it \
         shows the right one again. Compare `levi verify` on your devices"
    )]
    Forked {
        /// Where the two differ.
        slot: u64,
    },
    /// The list ends before the pinned entry.
    #[error(
        "the server shows a device list that ends before slot {pinned}, which this device has seen; nothing is sealed \
         until it shows the whole list again"
    )]
    RolledBack {
        /// The last slot shown, if there is any entry of the list.
        shown: Option<u64>,
        /// The slot of the pinned entry.
        pinned: u64,
    },
    /// An entry that a later version of Levi made.
    #[error("the device list continues at slot {slot} with an entry of kind {kind}; update Levi to read it")]
    UnknownKind {
        /// The kind's number.
        kind: u8,
        /// The entry's slot.
        slot: u64,
    },
    /// The stored entries do not lead to the pin.
    #[error(
        "this device's copy of the device list is damaged; restore it from a backup, or pair this device again"
    )]
    Damaged,
}
