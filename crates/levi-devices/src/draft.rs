//! Building entries. The caller drafts an entry, commits it to the secret of the epoch that it
//! begins ([`Entry::commit`]), signs it
//! ([`SignedEntry::sign`](crate::entry::SignedEntry::sign)), tries it on its own list
//! ([`DeviceList::accept`]) and then inserts it. If another entry took its slot meanwhile, the
//! caller reads the list and builds the entry anew.

use levi_types::{DeviceId, UserId};

use crate::entry::{Body, Entry, Header, MAX_SLOT, Rotation};
use crate::hash::{Commitment, EntryHash};
use crate::list::{DeviceList, Refusal};
use crate::member::Member;

/// The slot and the time of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// A free slot: see [`free_slot`].
    pub slot: u64,
    /// Milliseconds since 1970, by this device's clock.
    pub time_ms: i64,
}

/// The first slot above `head` that no row has. `None` for `head` begins a list. `taken` is the
/// slots of all rows, garbage included, because the server takes one row a slot.
///
/// # Errors
/// [`ListFull`] if every slot up to 1999 has a row.
pub fn free_slot(head: Option<u64>, taken: &[u64]) -> Result<u64, ListFull> {
    let first = head.map_or(0, |head| head.saturating_add(1));
    (first..=MAX_SLOT).find(|slot| !taken.contains(slot)).ok_or(ListFull)
}

/// Every slot has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the device list has no free slot, so no device can be added or removed; sign out everywhere, delete the user's \
     rows that are no entries in the project's dashboard, and try again"
)]
pub struct ListFull;

/// The first entry of a list, to be signed by the device and cosigned by the recovery key. It has
/// yet to [commit](Entry::commit) to the secret of epoch 1.
pub fn genesis(user_id: &UserId, device: Member, recovery: Member, stamp: Stamp) -> Entry {
    let header = Header {
        slot: stamp.slot,
        prev: EntryHash::ZERO,
        user_id: user_id.clone(),
        time_ms: stamp.time_ms,
        signer_id: device.id().clone(),
    };
    let (device, recovery, commitment) = (Box::new(device), Box::new(recovery), Commitment::NONE);
    Entry { header, body: Body::Genesis { device, recovery, commitment } }
}

impl DeviceList {
    /// The next epoch, above every epoch seen. The entry that begins it has yet to
    /// [commit](Entry::commit) to its secret.
    ///
    /// # Errors
    /// [`Refusal::TooManyEntries`] after the last epoch.
    pub fn rotation(&self) -> Result<Rotation, Refusal> {
        let epoch = self.next_epoch().ok_or(Refusal::TooManyEntries)?;
        Ok(Rotation { epoch, commitment: Commitment::NONE })
    }

    /// An entry that adds a device, to be cosigned by it.
    pub fn draft_add(&self, signer: &DeviceId, member: Member, stamp: Stamp) -> Entry {
        self.draft(self.head(), signer, Body::Add { member: Box::new(member) }, stamp)
    }

    /// An entry that removes a device and begins `rotation`.
    pub fn draft_remove(&self, signer: &DeviceId, id: DeviceId, rotation: Rotation, stamp: Stamp) -> Entry {
        self.draft(self.head(), signer, Body::Remove { id, rotation }, stamp)
    }

    /// An entry that replaces the recovery key, signed by the old and cosigned by the new one.
    ///
    /// # Errors
    /// [`Refusal::MemberType`] if the list has no recovery key, which does not happen.
    pub fn draft_new_recovery_key(
        &self,
        recovery: Member,
        rotation: Rotation,
        stamp: Stamp,
    ) -> Result<Entry, Refusal> {
        let signer = self.recovery().ok_or(Refusal::MemberType)?.id();
        let body = Body::NewRecoveryKey { recovery: Box::new(recovery), rotation };
        Ok(self.draft(self.head(), signer, body, stamp))
    }

    /// An entry that recovers, signed by the recovery key and cosigned by the new device. It
    /// follows the entry `after`: the head, or an earlier one, if the recovery is to cut off the
    /// entries after it.
    ///
    /// # Errors
    /// [`Refusal::MemberType`] if the list has no recovery key, which does not happen.
    pub fn draft_recover(
        &self,
        after: EntryHash,
        removed: Vec<DeviceId>,
        device: Member,
        rotation: Rotation,
        stamp: Stamp,
    ) -> Result<Entry, Refusal> {
        let signer = self.recovery().ok_or(Refusal::MemberType)?.id();
        let body = Body::Recover { removed, device: Box::new(device), rotation };
        Ok(self.draft(after, signer, body, stamp))
    }

    fn draft(&self, prev: EntryHash, signer: &DeviceId, body: Body, stamp: Stamp) -> Entry {
        let header = Header {
            slot: stamp.slot,
            prev,
            user_id: self.user_id().clone(),
            time_ms: stamp.time_ms,
            signer_id: signer.clone(),
        };
        Entry { header, body }
    }
}
