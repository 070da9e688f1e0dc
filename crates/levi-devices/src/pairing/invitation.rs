//! The side of the old device, which is on the list.

use std::fmt;

use levi_types::{DeviceId, SecretString, UserId};
use rand_core::CryptoRng;

use super::{Fresh, Message, PairingCode, PairingError, PairingKeys};
use crate::bytes::{Reader, Writer};
use crate::draft::Stamp;
use crate::entry::{Entry, SignedEntry};
use crate::keys::MemberKeys;
use crate::list::{DeviceList, Refusal};
use crate::member::{Member, MemberType};
use crate::signature::Signature;

/// How long a code is valid, in milliseconds: ten minutes.
pub const VALID_FOR_MS: i64 = 600_000;

/// A code that this device shows. Answering consumes it, so a code is used once.
pub struct Invitation {
    user_id: UserId,
    code: PairingCode,
    keys: PairingKeys,
    made_ms: i64,
}

impl Invitation {
    /// Makes a code from `rng`. `now_ms` is this device's time in milliseconds since 1970.
    pub fn new(user_id: &UserId, now_ms: i64, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::with_code(user_id, PairingCode::generate(rng), now_ms)
    }

    /// Continues with a code that was made at `made_ms`, after a restart of the program. The caller
    /// must not have answered under that code.
    pub fn with_code(user_id: &UserId, code: PairingCode, made_ms: i64) -> Self {
        let keys = code.keys(user_id);
        Self { user_id: user_id.clone(), code, keys, made_ms }
    }

    /// The text to show to the person. Comment each call with the reason for the exposure.
    pub fn expose_code(&self) -> SecretString {
        self.code.expose_text()
    }

    /// The id of the row in `levi_pairings` where the request will be.
    pub fn row_id(&self) -> String {
        self.keys.row_id()
    }

    /// The id of the row that this device writes, empty, when it shows the code: a new device that
    /// does not find it has another code, and need not wait.
    pub fn shown_id(&self) -> String {
        self.keys.shown_id()
    }

    /// Opens a request. The person then compares the member's name and fingerprint with those on
    /// the new device.
    ///
    /// # Errors
    /// [`PairingError::Expired`] ten minutes after the code was made, or if the clock was set back
    /// before that. [`PairingError::NotBase64`], [`PairingError::Forged`] and
    /// [`PairingError::Malformed`] for anything but a request made with this code.
    pub fn open_request(&self, request: &str, now_ms: i64) -> Result<PairingRequest, PairingError> {
        self.check_time(now_ms)?;
        let plain = self.keys.open(Message::Request, &self.user_id, request)?;
        let mut reader = Reader::new(&plain);
        let member = Member::read(&mut reader).and_then(Result::ok).ok_or(PairingError::Malformed)?;
        let fresh = *reader.array().ok_or(PairingError::Malformed)?;
        reader.end().ok_or(PairingError::Malformed)?;
        if member.member_type() == MemberType::Device {
            Ok(PairingRequest { member, fresh })
        } else {
            Err(PairingError::Malformed)
        }
    }

    /// Answers a request that the user accepted. Returns the column `answer` and the entry that
    /// will be inserted.
    ///
    /// # Errors
    /// [`PairingError::Expired`], or [`PairingError::Refused`] if the list would not take the
    /// member from this signer.
    pub fn answer(
        self,
        request: PairingRequest,
        list: &DeviceList,
        signer: (&DeviceId, &MemberKeys),
        stamp: Stamp,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<(String, PendingMember), PairingError> {
        self.check_time(stamp.time_ms)?;
        let (signer_id, signer_keys) = signer;
        let entry = list.draft_add(signer_id, request.member, stamp);
        list.check(&entry)?;
        let encoded = entry.encode();
        let mut plain = Writer::default();
        plain.bytes(&request.fresh).bytes(list.genesis().as_bytes()).bytes(list.head().as_bytes());
        plain.u64(list.slot()).bytes(&encoded);
        let answer = self.keys.seal(Message::Answer, &self.user_id, &plain.finish(), rng)?;
        let signature = signer_keys.sign(&encoded).map_err(|_| Refusal::Signature)?;
        Ok((answer, PendingMember { entry, signature }))
    }

    /// Answers a request that the person said no to: the column `answer`.
    ///
    /// # Errors
    /// None that occurs: the message is short.
    pub fn decline(
        self,
        request: &PairingRequest,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<String, PairingError> {
        self.keys.seal(Message::Answer, &self.user_id, &request.fresh, rng)
    }

    fn check_time(&self, now_ms: i64) -> Result<(), PairingError> {
        let age = now_ms.checked_sub(self.made_ms);
        let valid = age.is_some_and(|age| (0..VALID_FOR_MS).contains(&age));
        if valid { Ok(()) } else { Err(PairingError::Expired) }
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invitation(..)")
    }
}

/// A new device that asks to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairingRequest {
    member: Member,
    fresh: Fresh,
}

impl PairingRequest {
    /// Who asks.
    pub const fn member(&self) -> &Member {
        &self.member
    }

    /// Random bytes that the answer repeats, so that it answers this request only.
    pub const fn fresh(&self) -> &[u8; 16] {
        &self.fresh
    }
}

/// The entry that adds the new device, before the new device has cosigned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMember {
    entry: Entry,
    signature: Signature,
}

impl PendingMember {
    /// The entry.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Adds the column `cosignature`, and checks that the list accepts the entry. It is then
    /// inserted.
    ///
    /// # Errors
    /// [`PairingError::Refused`]: [`Refusal::Cosignature`] if somebody else wrote the column, [`Refusal::NotOnHead`] if the
    /// list has changed.
    pub fn finish(&self, list: &DeviceList, cosignature: &str) -> Result<SignedEntry, PairingError> {
        let cosignature = Signature::from_base64(cosignature).map_err(|_| Refusal::Cosignature)?;
        let signed = SignedEntry {
            entry: self.entry.encode(),
            signature: self.signature,
            cosignature: Some(cosignature),
        };
        match list.clone().accept(&signed) {
            Ok(()) => Ok(signed),
            // It was prepared for the list as it was when the person said yes.
            Err(Refusal::NotOnHead | Refusal::Slot { .. }) => Err(PairingError::ListChanged),
            Err(refusal) => Err(refusal.into()),
        }
    }
}
