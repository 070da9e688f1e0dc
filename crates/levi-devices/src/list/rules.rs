//! The rules of every kind.

use std::slice;

use levi_types::{DeviceId, UserId};

use super::{DeviceList, MAX_ENTRIES, MAX_EPOCH, MAX_MEMBERS, Refusal};
use crate::entry::{Body, Entry, MAX_SLOT, Rotation, SignedEntry};
use crate::hash::EntryHash;
use crate::member::{Member, MemberType};

/// Checks everything about a genesis but its signatures.
pub(super) fn check_genesis(user_id: &UserId, entry: &Entry) -> Result<(), Refusal> {
    let Body::Genesis { device, recovery, .. } = &entry.body else { return Err(Refusal::Genesis) };
    let header = &entry.header;
    if header.user_id != *user_id {
        return Err(Refusal::OtherUser);
    }
    if header.prev != EntryHash::ZERO {
        return Err(Refusal::Genesis);
    }
    check_slot(header.slot, None)?;
    if header.signer_id != *device.id() {
        return Err(Refusal::SignerNotActive(header.signer_id.clone()));
    }
    check_type(device, MemberType::Device)?;
    check_type(recovery, MemberType::Recovery)?;
    if device.id() == recovery.id() {
        return Err(Refusal::IdTaken(device.id().clone()));
    }
    if device.keys().overlap(recovery.keys()) { Err(Refusal::KeyTaken) } else { Ok(()) }
}

/// The first device, which signs the genesis.
pub(super) const fn genesis_signer(entry: &Entry) -> Option<&Member> {
    match &entry.body {
        Body::Genesis { device, .. } => Some(device),
        _ => None,
    }
}

/// Verifies both signatures. Without a signer nothing verifies.
pub(super) fn verify(signed: &SignedEntry, entry: &Entry, signer: Option<&Member>) -> Result<(), Refusal> {
    let signer = signer.ok_or(Refusal::Signature)?;
    signer.keys().signing().verify(&signed.entry, &signed.signature).map_err(|_| Refusal::Signature)?;
    match (entry.body.cosigner(), &signed.cosignature) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Refusal::UnexpectedCosignature),
        (Some(_), None) => Err(Refusal::Cosignature),
        (Some(member), Some(cosignature)) => {
            let verified = member.keys().signing().verify(&signed.entry, cosignature);
            verified.map_err(|_| Refusal::Cosignature)
        }
    }
}

impl DeviceList {
    /// Checks everything about an entry on the head but its signatures. Returns the signer.
    pub(crate) fn check(&self, entry: &Entry) -> Result<&Member, Refusal> {
        let header = &entry.header;
        if header.user_id != *self.user_id() {
            return Err(Refusal::OtherUser);
        }
        if header.prev != self.head() {
            return Err(Refusal::NotOnHead);
        }
        check_slot(header.slot, Some(self.slot()))?;
        if self.chain().len() >= MAX_ENTRIES {
            return Err(Refusal::TooManyEntries);
        }
        let signer = self.active(&header.signer_id);
        let signer = signer.ok_or_else(|| Refusal::SignerNotActive(header.signer_id.clone()))?;
        self.check_body(&entry.body, signer)?;
        Ok(signer)
    }

    fn check_body(&self, body: &Body, signer: &Member) -> Result<(), Refusal> {
        match body {
            Body::Genesis { .. } => Err(Refusal::Genesis),
            Body::Add { member } => {
                check_signer(signer, MemberType::Device)?;
                self.check_new(member, MemberType::Device)?;
                self.check_room(0)
            }
            Body::Remove { id, rotation } => {
                check_signer(signer, MemberType::Device)?;
                self.check_removals(slice::from_ref(id))?;
                if self.active_devices().count() == 1 {
                    return Err(Refusal::LastDevice);
                }
                self.check_next_epoch(rotation)
            }
            Body::NewRecoveryKey { recovery, rotation } => {
                check_signer(signer, MemberType::Recovery)?;
                self.check_new(recovery, MemberType::Recovery)?;
                self.check_next_epoch(rotation)
            }
            Body::Recover { removed, device, rotation } => {
                check_signer(signer, MemberType::Recovery)?;
                self.check_removals(removed)?;
                self.check_new(device, MemberType::Device)?;
                self.check_room(removed.len())?;
                self.check_epoch(rotation, rotation.epoch > self.last_epoch())
            }
        }
    }

    /// No id and no key ever twice.
    fn check_new(&self, member: &Member, member_type: MemberType) -> Result<(), Refusal> {
        check_type(member, member_type)?;
        if self.member(member.id()).is_some() {
            return Err(Refusal::IdTaken(member.id().clone()));
        }
        let taken = self.members().iter().any(|known| known.member.keys().overlap(member.keys()));
        if taken { Err(Refusal::KeyTaken) } else { Ok(()) }
    }

    /// Room for one more after `removals`.
    fn check_room(&self, removals: usize) -> Result<(), Refusal> {
        let after = self.active_members().count() + 1 - removals;
        if after > MAX_MEMBERS { Err(Refusal::TooManyMembers) } else { Ok(()) }
    }

    fn check_removals(&self, ids: &[DeviceId]) -> Result<(), Refusal> {
        for (index, id) in ids.iter().enumerate() {
            let is_device = self.active_devices().any(|device| device.id() == id);
            if !is_device || ids[..index].contains(id) {
                return Err(Refusal::NotADevice(id.clone()));
            }
        }
        Ok(())
    }

    fn check_next_epoch(&self, rotation: &Rotation) -> Result<(), Refusal> {
        self.check_epoch(rotation, Some(rotation.epoch) == self.last_epoch().next())
    }

    fn check_epoch(&self, rotation: &Rotation, follows: bool) -> Result<(), Refusal> {
        if follows && rotation.epoch.number() <= MAX_EPOCH {
            return Ok(());
        }
        Err(Refusal::WrongEpoch { found: rotation.epoch, last: self.last_epoch() })
    }
}

fn check_slot(slot: u64, head: Option<u64>) -> Result<(), Refusal> {
    let later = head.is_none_or(|head| slot > head);
    if later && slot <= MAX_SLOT { Ok(()) } else { Err(Refusal::Slot { slot }) }
}

fn check_type(member: &Member, expected: MemberType) -> Result<(), Refusal> {
    if member.member_type() == expected { Ok(()) } else { Err(Refusal::MemberType) }
}

fn check_signer(signer: &Member, expected: MemberType) -> Result<(), Refusal> {
    if signer.member_type() == expected { Ok(()) } else { Err(Refusal::SignerType(signer.id().clone())) }
}
