//! The list: which members it has after its accepted entries, and when an entry is accepted.
//!
//! An entry is valid on a head if it names that head as `prev`, the user is the list's, the slot is
//! a later one, the signer is active, the signatures hold, and the rules of its kind hold:
//!
//! - No id and no key is ever used twice, removed members included. A device that lost its keys
//!   comes back under a new id.
//! - The last device is not removed.
//! - A new epoch is one more than the last. In kind 5 it is more than every epoch seen.
//! - At most [`MAX_MEMBERS`] active members, [`MAX_ENTRIES`] entries and [`MAX_EPOCH`] epochs.
//!
//! Rows are read by slot. The first valid one on the head is accepted; everything else is skipped,
//! because anybody with the user's token can write garbage, and because an entry that lost a race
//! is valid on an older head only. An entry of an unknown kind stops the reading if an active
//! member signed it: it might remove a device.
//!
//! Kind 5, signed by the recovery key of the head, may also follow an ancestor of the head. It then
//! cuts off the entries after that ancestor, which a thief may have signed.

pub(crate) mod read;
mod refusal;
mod rules;

pub use read::ReadError;
pub use refusal::Refusal;

use levi_crypto::message_v2::Epoch;
use levi_types::{DeviceId, UserId};

use crate::entry::{Body, Entry, Header, Rotation, SignedEntry};
use crate::hash::{Commitment, EntryHash};
use crate::member::{Member, MemberType};
use crate::verify::VerifyCode;

/// The most active members, the recovery key included.
pub const MAX_MEMBERS: usize = 32;

/// The most entries of a list.
pub const MAX_ENTRIES: usize = 1000;

/// The last epoch of a list. A keyring of so many epochs fits the 64 KiB of its column.
pub const MAX_EPOCH: u32 = 1000;

/// When and by whom a member was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The slot of the entry.
    pub slot: u64,
    /// The time that its signer named, in milliseconds since 1970.
    pub time_ms: i64,
    /// The member who signed it.
    pub by: DeviceId,
}

impl From<&Header> for Change {
    fn from(header: &Header) -> Self {
        Self { slot: header.slot, time_ms: header.time_ms, by: header.signer_id.clone() }
    }
}

/// A member with its history in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMember {
    /// Who it is.
    pub member: Member,
    /// How it came in.
    pub added: Change,
    /// How it was removed, if it was.
    pub removed: Option<Change>,
}

impl ListMember {
    /// Whether the member has not been removed.
    pub const fn is_active(&self) -> bool {
        self.removed.is_none()
    }
}

/// An accepted entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) hash: EntryHash,
    pub(crate) slot: u64,
    pub(crate) signed: SignedEntry,
}

/// A list after its accepted entries. There is at least one, the genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    user_id: UserId,
    genesis: EntryHash,
    /// From the genesis to the head.
    chain: Vec<Link>,
    /// Entries that were accepted once and that a recovery cut off.
    superseded: Vec<EntryHash>,
    /// In the order in which they were added, removed ones included.
    members: Vec<ListMember>,
    /// In ascending order of the epochs. A recovery may leave gaps.
    rotations: Vec<Rotation>,
    /// The last epoch of any entry seen, those included that were cut off.
    last_epoch: Epoch,
}

impl DeviceList {
    /// Begins a list with a genesis.
    ///
    /// # Errors
    /// [`Refusal`] if it is not a valid genesis for `user_id`.
    pub fn begin(user_id: &UserId, genesis: &SignedEntry) -> Result<Self, Refusal> {
        let entry = Entry::decode(&genesis.entry)?;
        rules::check_genesis(user_id, &entry)?;
        rules::verify(genesis, &entry, rules::genesis_signer(&entry))?;
        Ok(Self::from_genesis(&entry, genesis.clone()))
    }

    /// Accepts an entry on the head, as every reader will. Used before an entry is inserted.
    ///
    /// # Errors
    /// [`Refusal`]; the list is then unchanged.
    pub fn accept(&mut self, signed: &SignedEntry) -> Result<(), Refusal> {
        let entry = Entry::decode(&signed.entry)?;
        self.accept_decoded(signed, &entry, |_| false)
    }

    /// The user whose list it is.
    pub const fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The hash of the genesis. It identifies the list.
    pub const fn genesis(&self) -> EntryHash {
        self.genesis
    }

    /// The hash of the last entry.
    pub fn head(&self) -> EntryHash {
        self.chain.last().map_or(self.genesis, |link| link.hash)
    }

    /// The slot of the last entry.
    pub fn slot(&self) -> u64 {
        self.chain.last().map_or(0, |link| link.slot)
    }

    /// The accepted entries from the genesis to the head, as a device stores them.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SignedEntry> {
        self.chain.iter().map(|link| &link.signed)
    }

    /// Every member, removed ones included, in the order in which they were added.
    pub fn members(&self) -> &[ListMember] {
        &self.members
    }

    /// The member with this id, removed ones included. A device may open envelopes of removed
    /// members too.
    pub fn member(&self, id: &DeviceId) -> Option<&ListMember> {
        self.members.iter().find(|known| known.member.id() == id)
    }

    /// The members that have not been removed, the recovery key included. These are given secrets.
    pub fn active_members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|known| known.is_active()).map(|known| &known.member)
    }

    /// The active devices, without the recovery key.
    pub fn active_devices(&self) -> impl Iterator<Item = &Member> {
        self.active_members().filter(|member| member.member_type() == MemberType::Device)
    }

    /// The active member with this id.
    pub fn active(&self, id: &DeviceId) -> Option<&Member> {
        self.active_members().find(|member| member.id() == id)
    }

    /// The recovery key. Every list has one.
    pub fn recovery(&self) -> Option<&Member> {
        self.active_members().find(|member| member.member_type() == MemberType::Recovery)
    }

    /// The current epoch.
    pub fn epoch(&self) -> Epoch {
        self.rotations.last().map_or(Epoch::FIRST, |rotation| rotation.epoch)
    }

    /// The epoch that the next entry of kind 3, 4 or 5 begins: above every epoch seen. `None` after
    /// the last one.
    pub const fn next_epoch(&self) -> Option<Epoch> {
        self.last_epoch.next()
    }

    /// The entry that began the current epoch.
    ///
    /// # Errors
    /// [`Refusal`] if an accepted entry does not decode, which does not happen.
    pub fn epoch_entry(&self) -> Result<Entry, Refusal> {
        for link in self.chain.iter().rev() {
            let entry = Entry::decode(&link.signed.entry)?;
            if !matches!(entry.body, Body::Add { .. }) {
                return Ok(entry);
            }
        }
        Err(Refusal::Genesis)
    }

    /// The list up to the entry at `slot`. `None` if it has no entry there.
    pub fn up_to(&self, slot: u64) -> Option<Self> {
        let position = self.chain.iter().position(|link| link.slot == slot)?;
        Self::replay(self.chain.iter().take(position + 1).map(|link| &link.signed)).ok()
    }

    /// The list as it was in `epoch`, before the next one began. `None` for an epoch that it never
    /// had.
    pub fn in_epoch(&self, epoch: Epoch) -> Option<Self> {
        let slots = self.chain.iter().rev().map(|link| link.slot);
        let mut lists = slots.filter_map(|slot| self.up_to(slot));
        lists.find(|list| list.epoch() <= epoch).filter(|list| list.epoch() == epoch)
    }

    /// Whether a recovery cut off epochs before the current one.
    pub fn has_cut_off_epochs(&self) -> bool {
        usize::try_from(self.epoch().number()) != Ok(self.rotations.len())
    }

    /// The commitment to the secret of `epoch`. `None` for an epoch that the list does not have, or
    /// that a recovery cut off.
    pub fn commitment(&self, epoch: Epoch) -> Option<Commitment> {
        self.rotations.iter().find(|rotation| rotation.epoch == epoch).map(|rotation| rotation.commitment)
    }

    /// The genesis hash in the commitment to `epoch`; zeros in the genesis itself.
    pub fn commitment_genesis(&self, epoch: Epoch) -> EntryHash {
        if epoch == Epoch::FIRST { EntryHash::ZERO } else { self.genesis }
    }

    /// Digits for a person to compare on two devices.
    pub fn verify_code(&self) -> VerifyCode {
        VerifyCode::new(self.genesis, self.head())
    }

    /// Whether the entry with this hash is part of the list, or was before a recovery cut it off.
    pub fn has_seen(&self, hash: EntryHash) -> bool {
        self.position(hash).is_some() || self.superseded.contains(&hash)
    }

    pub(crate) fn chain(&self) -> &[Link] {
        &self.chain
    }

    /// The last epoch of any entry seen, those included that were cut off.
    pub(crate) const fn last_epoch(&self) -> Epoch {
        self.last_epoch
    }

    /// Whether the entry is part of the list, with the same signatures.
    pub(crate) fn contains(&self, signed: &SignedEntry) -> bool {
        self.position(signed.hash()).is_some_and(|position| self.chain[position].signed == *signed)
    }

    pub(crate) fn position(&self, hash: EntryHash) -> Option<usize> {
        self.chain.iter().position(|link| link.hash == hash)
    }

    /// Accepts an entry on the head, or a recovery on an ancestor. Signatures are not verified for
    /// entries that `is_known` names.
    pub(crate) fn accept_decoded(
        &mut self,
        signed: &SignedEntry,
        entry: &Entry,
        is_known: impl Fn(&SignedEntry) -> bool,
    ) -> Result<(), Refusal> {
        if entry.header.prev != self.head() {
            *self = self.recovered(signed, entry)?;
            return Ok(());
        }
        let signer = self.check(entry)?;
        if !is_known(signed) {
            rules::verify(signed, entry, Some(signer))?;
        }
        self.push(entry, signed.clone());
        Ok(())
    }

    /// The list after a recovery that follows an ancestor of the head.
    fn recovered(&self, signed: &SignedEntry, entry: &Entry) -> Result<Self, Refusal> {
        let position = self.position(entry.header.prev).ok_or(Refusal::NotOnHead)?;
        let signer = self.recovery().filter(|member| *member.id() == entry.header.signer_id);
        if signer.is_none() || !matches!(entry.body, Body::Recover { .. }) {
            return Err(Refusal::NotOnHead);
        }
        // Before the replay, which costs more: anybody with a token can write rows that name the
        // recovery key.
        rules::verify(signed, entry, signer)?;
        let (kept, cut) = self.chain.split_at(position + 1);
        let mut list = Self::replay(kept.iter().map(|link| &link.signed))?;
        list.last_epoch = self.last_epoch;
        list.superseded.clone_from(&self.superseded);
        list.superseded.extend(cut.iter().map(|link| link.hash));
        // The key must be active at the ancestor too, because otherwise an old recovery key could
        // undo its replacement. It is the same key there, because no id is used twice.
        list.check(entry)?;
        list.push(entry, signed.clone());
        Ok(list)
    }

    /// Applies entries that were accepted before: checks the rules, but verifies no signature.
    pub(crate) fn replay<'e>(entries: impl IntoIterator<Item = &'e SignedEntry>) -> Result<Self, Refusal> {
        let mut list: Option<Self> = None;
        for signed in entries {
            let entry = Entry::decode(&signed.entry)?;
            match &mut list {
                None => {
                    rules::check_genesis(&entry.header.user_id, &entry)?;
                    list = Some(Self::from_genesis(&entry, signed.clone()));
                }
                Some(list) => {
                    list.check(&entry)?;
                    list.push(&entry, signed.clone());
                }
            }
        }
        list.ok_or(Refusal::NotOnHead)
    }

    fn from_genesis(entry: &Entry, signed: SignedEntry) -> Self {
        let mut list = Self {
            user_id: entry.header.user_id.clone(),
            genesis: signed.hash(),
            chain: Vec::new(),
            superseded: Vec::new(),
            members: Vec::new(),
            rotations: Vec::new(),
            last_epoch: Epoch::FIRST,
        };
        list.push(entry, signed);
        list
    }

    fn push(&mut self, entry: &Entry, signed: SignedEntry) {
        let change = Change::from(&entry.header);
        match &entry.body {
            Body::Genesis { device, recovery, commitment } => {
                self.add(device, &change);
                self.add(recovery, &change);
                self.rotate(Rotation { epoch: Epoch::FIRST, commitment: *commitment });
            }
            Body::Add { member } => self.add(member, &change),
            Body::Remove { id, rotation } => {
                self.remove(id, &change);
                self.rotate(*rotation);
            }
            Body::NewRecoveryKey { recovery, rotation } => {
                self.remove(&entry.header.signer_id, &change);
                self.add(recovery, &change);
                self.rotate(*rotation);
            }
            Body::Recover { removed, device, rotation } => {
                removed.iter().for_each(|id| self.remove(id, &change));
                self.add(device, &change);
                self.rotate(*rotation);
            }
        }
        self.chain.push(Link { hash: signed.hash(), slot: entry.header.slot, signed });
    }

    fn add(&mut self, member: &Member, change: &Change) {
        self.members.push(ListMember { member: member.clone(), added: change.clone(), removed: None });
    }

    fn remove(&mut self, id: &DeviceId, change: &Change) {
        if let Some(known) = self.members.iter_mut().find(|known| known.member.id() == id) {
            known.removed = Some(change.clone());
        }
    }

    fn rotate(&mut self, rotation: Rotation) {
        self.last_epoch = self.last_epoch.max(rotation.epoch);
        self.rotations.push(rotation);
    }
}
