//! The side of the new device.

use std::fmt;

use levi_types::UserId;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use super::{FRESH_BYTES, Fresh, Message, PairingCode, PairingError, PairingKeys};
use crate::bytes::{Reader, Writer};
use crate::entry::{Body, Entry, ListRow};
use crate::hash::EntryHash;
use crate::keys::MemberKeys;
use crate::list::{DeviceList, Refusal};
use crate::member::Member;
use crate::signature::Signature;

/// A new device that asks to be added.
pub struct Join {
    user_id: UserId,
    member: Member,
    keys: PairingKeys,
    fresh: Fresh,
}

impl Join {
    /// Begins with the code that the person typed or scanned. `member` is this device with its new
    /// keys.
    pub fn new(
        user_id: &UserId,
        code: &PairingCode,
        member: Member,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        let mut fresh = Fresh::default();
        rng.fill_bytes(&mut fresh);
        Self { user_id: user_id.clone(), member, keys: code.keys(user_id), fresh }
    }

    /// The id of the row in `levi_pairings` to write.
    pub fn row_id(&self) -> String {
        self.keys.row_id()
    }

    /// The id of the row that the old device writes when it shows the code.
    pub fn shown_id(&self) -> String {
        self.keys.shown_id()
    }

    /// The column `request` of that row.
    ///
    /// # Errors
    /// [`PairingError::Malformed`] if the request is too long to seal, which no member is.
    pub fn request(&self, rng: &mut (impl CryptoRng + ?Sized)) -> Result<String, PairingError> {
        let mut plain = Writer::default();
        self.member.write(&mut plain);
        let plain = plain.bytes(&self.fresh).finish();
        self.keys.seal(Message::Request, &self.user_id, &plain, rng)
    }

    /// Opens the column `answer`, and checks that it answers this request and would add exactly
    /// this device.
    ///
    /// # Errors
    /// [`PairingError::NotBase64`], [`PairingError::Forged`], [`PairingError::Malformed`] for
    /// anything but an answer made with this code; [`PairingError::NotFresh`],
    /// [`PairingError::OtherEntry`]; [`PairingError::Declined`] if the person at the old device
    /// said no.
    pub fn open_answer(&self, answer: &str) -> Result<Answer, PairingError> {
        let plain = self.keys.open(Message::Answer, &self.user_id, answer)?;
        let (fresh, rest) = plain.split_first_chunk::<FRESH_BYTES>().ok_or(PairingError::Malformed)?;
        if !bool::from(fresh.ct_eq(&self.fresh)) {
            return Err(PairingError::NotFresh);
        }
        if rest.is_empty() {
            return Err(PairingError::Declined);
        }
        let answer = read_answer(rest).ok_or(PairingError::Malformed)?;
        let entry = Entry::decode(&answer.entry)?;
        let adds_this_device = matches!(&entry.body, Body::Add { member } if **member == self.member);
        if adds_this_device && entry.header.prev == answer.head && entry.header.user_id == self.user_id {
            Ok(answer)
        } else {
            Err(PairingError::OtherEntry)
        }
    }

    /// Cosigns the entry, after the list that the server shows was read up to the head that the old
    /// device named. Returns the column `cosignature`.
    ///
    /// # Errors
    /// [`PairingError::OtherList`] if the server shows a list without that head,
    /// [`PairingError::ListChanged`] if the list has gone on, [`PairingError::Refused`] if the list
    /// would not take the entry.
    pub fn cosign(
        &self,
        answer: &Answer,
        rows: &[ListRow],
        keys: &MemberKeys,
    ) -> Result<Signature, PairingError> {
        let list = DeviceList::read(&self.user_id, answer.genesis, rows)?;
        if !list.has_seen(answer.head) {
            return Err(PairingError::OtherList);
        }
        if list.head() != answer.head {
            return Err(PairingError::ListChanged);
        }
        list.check(&Entry::decode(&answer.entry)?)?;
        keys.sign(&answer.entry).map_err(|_| PairingError::Refused(Refusal::Cosignature))
    }

    /// The list to pin, once the old device has added this one.
    ///
    /// # Errors
    /// [`PairingError::NotAdded`] until the entry is on the list; [`PairingError::OtherList`] as in
    /// [`cosign`](Self::cosign).
    pub fn finish(&self, answer: &Answer, rows: &[ListRow]) -> Result<DeviceList, PairingError> {
        let list = DeviceList::read(&self.user_id, answer.genesis, rows)?;
        if !list.has_seen(answer.head) {
            return Err(PairingError::OtherList);
        }
        if list.position(EntryHash::of(&answer.entry)).is_some() {
            Ok(list)
        } else {
            Err(PairingError::NotAdded)
        }
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Join(..)")
    }
}

/// What the old device answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    genesis: EntryHash,
    head: EntryHash,
    slot: u64,
    entry: Vec<u8>,
}

impl Answer {
    /// The genesis of the old device's list.
    pub const fn genesis(&self) -> EntryHash {
        self.genesis
    }

    /// The head of the old device's list.
    pub const fn head(&self) -> EntryHash {
        self.head
    }

    /// The slot of that head.
    pub const fn slot(&self) -> u64 {
        self.slot
    }

    /// The encoding of the entry that adds this device.
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }
}

/// What follows the fresh bytes.
fn read_answer(plain: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new(plain);
    Some(Answer {
        genesis: EntryHash::from_bytes(*reader.array()?),
        head: EntryHash::from_bytes(*reader.array()?),
        slot: reader.u64()?,
        entry: reader.rest().to_vec(),
    })
}
