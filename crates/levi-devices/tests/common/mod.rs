//! A user's devices and the table that their list is stored in.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses a part; a panic is a failure that names its line"
)]

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use levi_devices::draft::{Stamp, free_slot, genesis};
use levi_devices::entry::{Entry, ListRow, Rotation, SignedEntry};
use levi_devices::keyring::Keyring;
use levi_devices::list::DeviceList;
use levi_devices::recovery::RecoveryKey;
use levi_devices::{EntryHash, EpochSecret, Member, MemberKeys, MemberType};
use levi_types::{DeviceId, UserId};

/// A device or the recovery key, with what only it has.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) keys: MemberKeys,
    pub(crate) member: Member,
}

impl Owner {
    pub(crate) fn new(name: &str, member_type: MemberType, keys: MemberKeys) -> Self {
        let member = Member::new(DeviceId::from(name), member_type, name, keys.public_keys().unwrap());
        Self { keys, member: member.unwrap() }
    }

    pub(crate) fn device(name: &str, rng: &mut ChaCha20Rng) -> Self {
        Self::new(name, MemberType::Device, MemberKeys::generate(rng))
    }

    pub(crate) fn recovery(name: &str, rng: &mut ChaCha20Rng) -> Self {
        Self::new(name, MemberType::Recovery, RecoveryKey::generate(rng).member_keys())
    }

    pub(crate) fn id(&self) -> &DeviceId {
        self.member.id()
    }
}

/// One user with a list, as the device sees it that writes next.
pub(crate) struct Scene {
    pub(crate) rng: ChaCha20Rng,
    pub(crate) user: UserId,
    pub(crate) laptop: Owner,
    pub(crate) recovery: Owner,
    pub(crate) rows: Vec<ListRow>,
    pub(crate) list: DeviceList,
    pub(crate) keyring: Keyring,
}

pub(crate) fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

impl Scene {
    pub(crate) fn new(seed: u8) -> Self {
        let mut rng = rng(seed);
        let user = UserId::from("0198a7f2-6d1e-7c3a-9b54-2f6f0c1de0a1");
        let laptop = Owner::device("laptop", &mut rng);
        let recovery = Owner::recovery("paper", &mut rng);
        let secret = EpochSecret::generate(&mut rng);
        let stamp = Stamp { slot: 0, time_ms: 1_700_000_000_000 };
        let entry = genesis(&user, laptop.member.clone(), recovery.member.clone(), stamp);
        let entry = entry.commit(EntryHash::ZERO, &secret);
        let signed = SignedEntry::sign(&entry, &laptop.keys, Some(&recovery.keys)).unwrap();
        let list = DeviceList::begin(&user, &signed).unwrap();
        let rows = vec![signed.to_row().unwrap()];
        Self { rng, user, laptop, recovery, rows, list, keyring: Keyring::first(secret) }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        let taken: Vec<u64> = self.rows.iter().map(|row| row.slot).collect();
        let slot = free_slot(Some(self.list.slot()), &taken).unwrap();
        Stamp { slot, time_ms: 1_700_000_000_000 + i64::try_from(slot).unwrap() }
    }

    /// Accepts the entry and inserts its row.
    pub(crate) fn push(&mut self, signed: &SignedEntry) {
        self.list.accept(signed).unwrap();
        self.rows.push(signed.to_row().unwrap());
    }

    pub(crate) fn rotation(&mut self) -> (Rotation, EpochSecret) {
        (self.list.rotation().unwrap(), EpochSecret::generate(&mut self.rng))
    }

    pub(crate) fn add_entry(&self, signer: &Owner, new: &Owner) -> SignedEntry {
        let entry = self.list.draft_add(signer.id(), new.member.clone(), self.stamp());
        SignedEntry::sign(&entry, &signer.keys, Some(&new.keys)).unwrap()
    }

    pub(crate) fn add(&mut self, signer: &Owner, name: &str) -> Owner {
        let new = Owner::device(name, &mut self.rng);
        self.push(&self.add_entry(signer, &new));
        new
    }

    pub(crate) fn remove_entry(&mut self, signer: &Owner, id: &DeviceId) -> (SignedEntry, EpochSecret) {
        let (rotation, secret) = self.rotation();
        let entry = self.list.draft_remove(signer.id(), id.clone(), rotation, self.stamp());
        let entry = entry.commit(self.list.genesis(), &secret);
        (SignedEntry::sign(&entry, &signer.keys, None).unwrap(), secret)
    }

    pub(crate) fn remove(&mut self, signer: &Owner, id: &DeviceId) {
        let (signed, secret) = self.remove_entry(signer, id);
        self.push(&signed);
        self.keyring.push(self.list.epoch(), secret).unwrap();
    }

    pub(crate) fn recover_entry(
        &mut self,
        after: EntryHash,
        removed: &[&Owner],
        device: &Owner,
    ) -> (SignedEntry, EpochSecret) {
        let (rotation, secret) = self.rotation();
        let removed = removed.iter().map(|owner| owner.id().clone()).collect();
        let entry =
            self.list.draft_recover(after, removed, device.member.clone(), rotation, self.stamp()).unwrap();
        let entry = entry.commit(self.list.genesis(), &secret);
        (SignedEntry::sign(&entry, &self.recovery.keys, Some(&device.keys)).unwrap(), secret)
    }

    pub(crate) fn new_recovery_entry(&mut self, new: &Owner) -> (SignedEntry, EpochSecret) {
        let (rotation, secret) = self.rotation();
        let entry = self.list.draft_new_recovery_key(new.member.clone(), rotation, self.stamp()).unwrap();
        let entry = entry.commit(self.list.genesis(), &secret);
        (SignedEntry::sign(&entry, &self.recovery.keys, Some(&new.keys)).unwrap(), secret)
    }

    /// The same user and list, as another device sees them that goes on by itself.
    pub(crate) fn fork(&self, seed: u8) -> Self {
        Self {
            rng: rng(seed),
            user: self.user.clone(),
            laptop: self.laptop.clone(),
            recovery: self.recovery.clone(),
            rows: self.rows.clone(),
            list: self.list.clone(),
            keyring: self.keyring.clone(),
        }
    }

    /// What a device reads that has only these rows and the genesis.
    pub(crate) fn read(&self) -> DeviceList {
        DeviceList::read(&self.user, self.list.genesis(), &self.rows).unwrap()
    }
}

/// The entry with a change, signed again by the same keys.
pub(crate) fn resigned(
    signed: &SignedEntry,
    signer: &Owner,
    cosigner: Option<&Owner>,
    change: impl FnOnce(&mut Entry),
) -> SignedEntry {
    let mut entry = Entry::decode(&signed.entry).unwrap();
    change(&mut entry);
    SignedEntry::sign(&entry, &signer.keys, cosigner.map(|owner| &owner.keys)).unwrap()
}
