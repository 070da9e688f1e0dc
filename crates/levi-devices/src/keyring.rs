//! Keyrings: the secrets of all epochs, sealed for one member.
//!
//! ```text
//! keyring  E_1 || ... || E_e, 32 bytes each; 32 zero bytes for an epoch that was cut off and whose secret is lost
//! sealed   HPKE (RFC 9180) Base mode: X-Wing (0x647a), HKDF-SHA256 (0x0001), ChaCha20Poly1305 (0x0003)
//! info     "levi/keyring/v1" || lp(user_id) || genesis hash || lp(recipient_id) || u32be(e)
//! aad      empty
//! row      enc = base64(1120 bytes), sealed = base64(ciphertext || tag)
//! ```
//!
//! Anybody can seal to a member's public key. So a keyring is accepted only if every secret matches
//! its commitment in the signed list and the epoch is the list's. Base mode is then enough: the
//! signed commitments give authenticity, and X-Wing gives secrecy, even against somebody who keeps
//! the row until there are quantum computers. (Auth mode is not available, because the HPKE crate
//! panics if X-Wing is given a sender's key.)
//!
//! An epoch that a recovery cut off has no commitment in the list. A reader trusts the keyring's
//! maker for its secret, because the maker has proved to know the current epoch's secret and is
//! therefore a member.

mod drawn;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal_with_rng,
};
use levi_crypto::message_v2::{Epoch, EpochSecret};
use levi_types::DeviceId;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::drawn::drawn;
use crate::bytes::Writer;
use crate::keys::MemberKeys;
use crate::list::DeviceList;

const LABEL: &str = "levi/keyring/v1";
const SECRET_BYTES: usize = 32;

/// Stands for a secret that is lost.
const LOST: [u8; SECRET_BYTES] = [0; SECRET_BYTES];

/// The length of X-Wing's encapsulated key in bytes: 1088 of ML-KEM-768 and 32 of X25519.
pub const ENC_BYTES: usize = 1120;

/// ChaCha20-Poly1305's tag.
const TAG_BYTES: usize = 16;

/// The secrets of epochs 1 to e. `Debug` shows how many, memory is zeroised on drop.
#[derive(Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Epoch 1 first. `None` for an epoch that was cut off and whose secret is lost.
    secrets: Vec<Option<EpochSecret>>,
}

impl Keyring {
    /// The keyring of a new list.
    pub fn first(secret: EpochSecret) -> Self {
        Self { secrets: vec![Some(secret)] }
    }

    /// The last epoch.
    ///
    /// # Errors
    /// [`KeyringError::Empty`], which a keyring that was made by this module never gives.
    fn epoch(&self) -> Result<Epoch, KeyringError> {
        let epoch = u32::try_from(self.secrets.len()).ok().and_then(Epoch::new);
        epoch.ok_or(KeyringError::Empty)
    }

    /// The secret of `epoch`, if the keyring has it.
    pub fn secret(&self, epoch: Epoch) -> Option<&EpochSecret> {
        let index = usize::try_from(epoch.number()).ok()?.checked_sub(1)?;
        self.secrets.get(index)?.as_ref()
    }

    /// Adds the secret of an epoch, which the list may not have yet. Epochs between the last one
    /// and this are those that a recovery cut off and whose secrets are lost.
    ///
    /// # Errors
    /// [`KeyringError::NotLater`] if the keyring reaches that epoch already.
    pub fn push(&mut self, epoch: Epoch, secret: EpochSecret) -> Result<(), KeyringError> {
        let length = usize::try_from(epoch.number()).unwrap_or(usize::MAX);
        if length <= self.secrets.len() || epoch.number() > crate::list::MAX_EPOCH {
            return Err(KeyringError::NotLater { epoch });
        }
        self.secrets.resize(length - 1, None);
        self.secrets.push(Some(secret));
        Ok(())
    }

    /// Takes from `other` the secrets of epochs that a recovery cut off and that this keyring has
    /// lost. The list does not commit to them, so `other` must be a member's.
    pub fn fill_from(&mut self, other: &Self, list: &DeviceList) {
        for ((number, secret), known) in (1..).zip(&mut self.secrets).zip(&other.secrets) {
            let is_cut_off = Epoch::new(number).is_some_and(|epoch| list.commitment(epoch).is_none());
            if secret.is_none() && is_cut_off {
                secret.clone_from(known);
            }
        }
    }

    /// Checks every secret against the commitments of `list`.
    ///
    /// # Errors
    /// [`KeyringError::OtherEpoch`] if the last epoch is not the list's,
    /// [`KeyringError::Uncommitted`] if a secret is not the one that the list commits to.
    pub fn check(&self, list: &DeviceList) -> Result<(), KeyringError> {
        let epoch = self.epoch()?;
        if epoch != list.epoch() {
            return Err(KeyringError::OtherEpoch { found: epoch, expected: list.epoch() });
        }
        self.check_secrets(list)
    }

    /// As [`check`](Self::check), of the epochs that the keyring has.
    fn check_secrets(&self, list: &DeviceList) -> Result<(), KeyringError> {
        for (number, secret) in (1..).zip(&self.secrets) {
            let Some(epoch) = Epoch::new(number) else { continue };
            let Some(commitment) = list.commitment(epoch) else { continue };
            // In the genesis, whose hash was not known yet, zeros stand for it.
            let genesis = list.commitment_genesis(epoch);
            let matches = secret.as_ref().is_some_and(|secret| commitment.matches(genesis, epoch, secret));
            if !matches {
                return Err(KeyringError::Uncommitted { epoch });
            }
        }
        Ok(())
    }

    /// Seals the keyring for an active member of `list`.
    ///
    /// # Errors
    /// As for [`check`](Self::check), because nobody would accept it; [`KeyringError::NotAMember`]
    /// for anybody else.
    pub fn seal(
        &self,
        list: &DeviceList,
        recipient: &DeviceId,
        mut rng: &mut (impl CryptoRng + ?Sized),
    ) -> Result<SealedKeyring, KeyringError> {
        self.check(list)?;
        let member = list.active(recipient).ok_or_else(|| KeyringError::NotAMember(recipient.clone()))?;
        let public = <XWing as Kem>::PublicKey::from_bytes(member.keys().keyring())
            .map_err(|_| KeyringError::Sealing)?;
        // Exposed to be encrypted.
        let plain = self.expose_bytes();
        let info = info(list, recipient, list.epoch());
        let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            &info,
            &plain,
            &[],
            &mut rng,
        )
        .map_err(|_| KeyringError::Sealing)?;
        Ok(SealedKeyring { epoch: list.epoch(), enc: enc.to_bytes().to_vec(), sealed })
    }

    /// As [`seal`](Self::seal), with what is drawn at random derived from the keyring: every member
    /// who has it makes the same row. So members can tell whether the row of another one is as it
    /// should be, the recovery key's among them, and write it again if somebody has overwritten it.
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn seal_reproducibly(
        &self,
        list: &DeviceList,
        recipient: &DeviceId,
    ) -> Result<SealedKeyring, KeyringError> {
        let member = list.active(recipient).ok_or_else(|| KeyringError::NotAMember(recipient.clone()))?;
        let (info, recipient_key) = (info(list, recipient, list.epoch()), member.keys().keyring());
        // Exposed to be derived from.
        let keyring = self.expose_bytes();
        self.seal(list, recipient, &mut drawn(&keyring, recipient_key, &info))
    }

    /// Whether `row` is what members who have this keyring write for `recipient`. See
    /// [`as_shared`](Self::as_shared).
    ///
    /// # Errors
    /// As for [`seal`](Self::seal).
    pub fn is_sealed_in(
        &self,
        row: &SealedKeyring,
        list: &DeviceList,
        recipient: &DeviceId,
    ) -> Result<bool, KeyringError> {
        Ok(self.seal_reproducibly(list, recipient)? == *row)
    }

    /// The keyring that all members of `list` are given, as the one knows it who has this keyring,
    /// and whose own row on the server opens to `own_row`, if it opens.
    ///
    /// Of epochs that a recovery cut off, members may know different secrets or none. So what was
    /// given to this member counts, and what only this member knows is added: a member learns from
    /// its row what the others know, and passes on what they do not.
    #[must_use]
    pub fn as_shared(&self, own_row: Option<Self>, list: &DeviceList) -> Self {
        let mut shared = own_row.unwrap_or_else(|| self.clone());
        shared.fill_from(self, list);
        shared
    }

    /// Opens the keyring of `recipient`, and checks it against the list.
    ///
    /// # Errors
    /// [`KeyringError`]. All but [`KeyringError::OtherEpoch`] mean that the row was not made by a
    /// member, or was altered.
    pub fn open(
        row: &SealedKeyring,
        list: &DeviceList,
        recipient: &DeviceId,
        keys: &MemberKeys,
    ) -> Result<Self, KeyringError> {
        if row.epoch != list.epoch() {
            return Err(KeyringError::OtherEpoch { found: row.epoch, expected: list.epoch() });
        }
        let expected = usize::try_from(row.epoch.number()).unwrap_or(usize::MAX);
        if row.enc.len() != ENC_BYTES || row.sealed.len() != expected.saturating_mul(SECRET_BYTES) + TAG_BYTES
        {
            return Err(KeyringError::Truncated);
        }
        let keyring = Self::decode(&open_raw(row, &info(list, recipient, row.epoch), keys)?);
        keyring.check(list)?;
        Ok(keyring)
    }

    /// The secrets one after another, as they are sealed, for the device's own store. Comment each
    /// call with the reason for the exposure.
    pub fn expose_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(self.secrets.len() * SECRET_BYTES));
        for secret in &self.secrets {
            // Exposed to be encrypted.
            let bytes: &[u8; SECRET_BYTES] = secret.as_ref().map_or(&LOST, EpochSecret::expose_bytes);
            plain.extend_from_slice(bytes);
        }
        plain
    }

    /// Reads what [`expose_bytes`](Self::expose_bytes) returned, and checks it against the list. It
    /// may end before the list's epoch: a device that was removed gets no later secrets, and goes
    /// on reading with those it has.
    ///
    /// # Errors
    /// [`KeyringError::OtherEpoch`] if the keyring has later epochs than the list,
    /// [`KeyringError::Uncommitted`] as for [`check`](Self::check).
    pub fn restore(bytes: &[u8], list: &DeviceList) -> Result<Self, KeyringError> {
        let keyring = Self::decode(bytes);
        let epoch = keyring.epoch()?;
        if epoch > list.epoch() {
            return Err(KeyringError::OtherEpoch { found: epoch, expected: list.epoch() });
        }
        keyring.check_secrets(list)?;
        Ok(keyring)
    }

    fn decode(plain: &[u8]) -> Self {
        let (secrets, _) = plain.as_chunks::<SECRET_BYTES>();
        let lost = EpochSecret::from_bytes(LOST);
        let secrets = secrets.iter().map(|secret| EpochSecret::from_bytes(*secret));
        Self { secrets: secrets.map(|secret| Some(secret).filter(|secret| *secret != lost)).collect() }
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} epochs)", self.secrets.len())
    }
}

fn info(list: &DeviceList, recipient: &DeviceId, epoch: Epoch) -> Vec<u8> {
    let mut info = Writer::new(LABEL);
    info.text(list.user_id().as_str()).bytes(list.genesis().as_bytes());
    info.text(recipient.as_str()).u32(epoch.number()).finish()
}

fn open_raw(row: &SealedKeyring, info: &[u8], keys: &MemberKeys) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    // Exposed to be decapsulated with.
    let private = <XWing as Kem>::PrivateKey::from_bytes(keys.keyring.expose_bytes());
    let enc = <XWing as Kem>::EncappedKey::from_bytes(&row.enc);
    let (Ok(private), Ok(enc)) = (private, enc) else { return Err(KeyringError::Forged) };
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &private,
        &enc,
        info,
        &row.sealed,
        &[],
    )
    .map(Zeroizing::new)
    .map_err(|_| KeyringError::Forged)
}

/// A sealed keyring, as in a row of `levi_keyrings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKeyring {
    /// The last epoch in it.
    pub epoch: Epoch,
    /// X-Wing's encapsulated key: RFC 9180's `enc`.
    pub enc: Vec<u8>,
    /// Ciphertext, then tag.
    pub sealed: Vec<u8>,
}

impl SealedKeyring {
    /// The columns `enc` and `sealed`, in this order.
    pub fn to_wire(&self) -> (String, String) {
        (STANDARD.encode(&self.enc), STANDARD.encode(&self.sealed))
    }

    /// Parses the columns of a row.
    ///
    /// # Errors
    /// [`KeyringError::NotBase64`], or [`KeyringError::Truncated`] if `enc` is not 1120 bytes.
    pub fn from_wire(epoch: Epoch, enc: &str, sealed: &str) -> Result<Self, KeyringError> {
        let decode = |text| STANDARD.decode(text).map_err(|_| KeyringError::NotBase64);
        let (enc, sealed) = (decode(enc)?, decode(sealed)?);
        if enc.len() == ENC_BYTES { Ok(Self { epoch, enc, sealed }) } else { Err(KeyringError::Truncated) }
    }
}

/// Why a keyring is not sealed or not accepted. No variant holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A column is not standard padded base64.
    #[error("the keyring is not standard padded base64; do not trust it, and run `levi pair` again")]
    NotBase64,
    /// A column does not have the length that its epoch asks for.
    #[error("the keyring has the wrong length; do not trust it, and run `levi pair` again")]
    Truncated,
    /// It ends with another epoch than the list.
    #[error("the keyring is of epoch {found}, the device list of epoch {expected}; fetch both again")]
    OtherEpoch {
        /// The keyring's epoch.
        found: Epoch,
        /// The list's epoch.
        expected: Epoch,
    },
    /// It does not open: another recipient, user, list or epoch, or altered bytes.
    #[error(
        "the keyring was sealed for somebody else, or was altered; do not trust it, and run `levi pair` again"
    )]
    Forged,
    /// A secret is not the one that the signed list commits to.
    #[error("the keyring's secret of epoch {epoch} is not the one in the device list; do not trust it")]
    Uncommitted {
        /// The epoch.
        epoch: Epoch,
    },
    /// The recipient is not an active member.
    #[error("{0} is not an active member of the device list, so it gets no keyring")]
    NotAMember(DeviceId),
    /// The epoch is not after the last one, or is above 1000.
    #[error("epoch {epoch} does not follow the keyring's last one; read the device list again")]
    NotLater {
        /// The epoch.
        epoch: Epoch,
    },
    /// The keyring holds no epoch.
    #[error("the keyring is empty; open it again")]
    Empty,
    /// The HPKE implementation refused to seal, which it does not do for keys of the list.
    #[error("the keyring could not be sealed; report this")]
    Sealing,
}
