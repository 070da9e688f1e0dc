//! The three keys of a member of the list: to sign, to receive envelopes, to receive keyrings.

use std::fmt;

use hpke::kem::XWing;
use hpke::{Deserializable, Kem, Serializable};
use levi_crypto::envelope::{DeviceKeyError, DevicePrivateKey, DevicePublicKey};
use levi_crypto::message_v2::EpochSecret;
use levi_types::SecretString;
use rand_core::CryptoRng;
use ring::signature::{Ed25519KeyPair, KeyPair};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entry::Entry;
use crate::hkdf;
use crate::signature::{Signature, SignatureError, VerifyingKey};

/// Length of an X-Wing public key in bytes: 1184 of ML-KEM-768 (FIPS 203) and 32 of X25519.
pub const XWING_PUBLIC_KEY_BYTES: usize = 1216;

const EPOCH_SECRET_LABEL: &[u8] = b"levi/epoch-secret/v2";

/// The modulus of ML-KEM. The coefficients of a public key are below it.
const ML_KEM_Q: u16 = 3329;

/// The part of an X-Wing public key that encodes coefficients, 12 bits each. 32 bytes of ML-KEM's
/// seed `rho` follow, then the X25519 key.
const COEFFICIENT_BYTES: usize = 1152;

/// The seed of an Ed25519 or an X-Wing key: 32 bytes. `Debug` shows no content, memory is zeroised
/// on drop, equality is constant-time.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeySeed([u8; 32]);

impl KeySeed {
    /// Takes the seed's 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new seed from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// The seed's bytes. Comment each call with the reason for the exposure.
    pub const fn expose_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses the text that [`expose_base64`](Self::expose_base64) returns.
    ///
    /// # Errors
    /// [`KeyTextError`](levi_crypto::KeyTextError) for anything but 32 bytes in standard padded
    /// base64.
    pub fn from_base64(text: &str) -> Result<Self, levi_crypto::KeyTextError> {
        // The private key of the envelopes has the same text form: 32 bytes in base64.
        DevicePrivateKey::from_base64(text).map(|key| Self(*key.expose_bytes()))
    }

    /// The seed in standard padded base64, for a credentials store. Comment each call with the
    /// reason.
    pub fn expose_base64(&self) -> SecretString {
        DevicePrivateKey::from_bytes(self.0).expose_base64()
    }
}

impl PartialEq for KeySeed {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeySeed {}

impl fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed(..)")
    }
}

/// The private keys of a member. Each is 32 bytes, stored in the device's keychain, or derived from
/// the recovery key.
#[derive(Clone, PartialEq, Eq)]
pub struct MemberKeys {
    /// Signs entries: the private key of RFC 8032, 32 bytes.
    pub signing: KeySeed,
    /// Seals and opens envelopes: the device's X25519 key, the same as without a list.
    pub envelope: DevicePrivateKey,
    /// Opens keyrings: X-Wing's decapsulation key, which is a seed of 32 bytes
    /// (draft-connolly-cfrg-xwing-kem).
    pub keyring: KeySeed,
}

impl MemberKeys {
    /// New keys from `rng`.
    pub fn generate(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self::with_envelope_key(DevicePrivateKey::generate(rng), rng)
    }

    /// New keys beside the X25519 key that the device has already.
    pub fn with_envelope_key(envelope: DevicePrivateKey, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self { signing: KeySeed::generate(rng), envelope, keyring: KeySeed::generate(rng) }
    }

    /// The matching public keys.
    ///
    /// # Errors
    /// [`PublicKeyError`] if ring or the X-Wing implementation refuses the seed, which neither does
    /// for 32 bytes.
    pub fn public_keys(&self) -> Result<PublicKeys, PublicKeyError> {
        let mut signing = [0; 32];
        signing.copy_from_slice(self.key_pair().ok_or(PublicKeyError::Signing)?.public_key().as_ref());
        // Exposed to be multiplied.
        let private = <XWing as Kem>::PrivateKey::from_bytes(self.keyring.expose_bytes())
            .map_err(|_| PublicKeyError::XWing)?;
        let keyring = XWing::sk_to_pk(&private).to_bytes();
        PublicKeys::from_bytes(&signing, self.envelope.public_key().as_bytes(), &keyring)
    }

    /// Signs `message`. The same message gives the same signature.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] if ring refuses the seed, which it does not do for 32 bytes.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, SignatureError> {
        let signature = self.key_pair().ok_or(SignatureError::Malformed)?.sign(message);
        signature.as_ref().try_into().map(Signature::from_bytes).map_err(|_| SignatureError::Malformed)
    }

    /// The secret of the epoch that `entry` begins, for the holder of these keys, who makes it.
    ///
    /// ```text
    /// E_e  HKDF-SHA256(salt = the hash of the entry with 32 zero bytes as its commitment,
    ///                  ikm = the X-Wing seed, info = "levi/epoch-secret/v2")
    /// ```
    ///
    /// To everybody else it is 32 random bytes. It is derived, so that a device that crashes
    /// between its entry and the keyrings can still write them. That weakens nothing, because a
    /// thief of the X-Wing seed can open the keyrings themselves.
    ///
    /// Another entry has another secret, because somebody may have been given the secret of one
    /// that never came onto the list: the keyring for a new recovery key is written before its
    /// entry is.
    pub fn epoch_secret(&self, entry: &Entry) -> EpochSecret {
        let salt = entry.hash_without_commitment();
        // Exposed to be hashed.
        let seed = self.keyring.expose_bytes();
        EpochSecret::from_bytes(*hkdf::derive(salt.as_bytes(), seed, EPOCH_SECRET_LABEL))
    }

    fn key_pair(&self) -> Option<Ed25519KeyPair> {
        // Exposed to sign. ring does not zeroise its copy.
        Ed25519KeyPair::from_seed_unchecked(self.signing.expose_bytes()).ok()
    }
}

impl fmt::Debug for MemberKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberKeys(..)")
    }
}

/// The public keys of a member, as in the list.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKeys {
    signing: VerifyingKey,
    envelope: DevicePublicKey,
    keyring: Box<[u8; XWING_PUBLIC_KEY_BYTES]>,
}

impl PublicKeys {
    /// Checks and takes the keys: Ed25519 (32 bytes), X25519 (32), X-Wing (1216).
    ///
    /// # Errors
    /// [`PublicKeyError`] for keys that no honest member has.
    pub fn from_bytes(
        signing: &[u8; 32],
        envelope: &[u8; 32],
        keyring: &[u8],
    ) -> Result<Self, PublicKeyError> {
        let signing = VerifyingKey::from_bytes(*signing).map_err(|_| PublicKeyError::Signing)?;
        let envelope = DevicePublicKey::from_bytes(envelope).map_err(PublicKeyError::Envelope)?;
        let keyring: Box<[u8; XWING_PUBLIC_KEY_BYTES]> =
            Box::new(keyring.try_into().map_err(|_| PublicKeyError::XWing)?);
        if !is_xwing_key(&keyring) {
            return Err(PublicKeyError::XWing);
        }
        Ok(Self { signing, envelope, keyring })
    }

    /// Verifies the member's entries.
    pub const fn signing(&self) -> &VerifyingKey {
        &self.signing
    }

    /// Envelopes for the member are sealed to this key, and those from it are opened with it.
    pub const fn envelope(&self) -> &DevicePublicKey {
        &self.envelope
    }

    /// Keyrings for the member are sealed to this X-Wing key.
    pub const fn keyring(&self) -> &[u8; XWING_PUBLIC_KEY_BYTES] {
        &self.keyring
    }

    /// Whether both have a key in common.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        self.signing == other.signing || self.envelope == other.envelope || self.keyring == other.keyring
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKeys({:?}, {:?}, ..)", self.signing, self.envelope)
    }
}

/// Every coefficient is below q (FIPS 203, section 7.2), and the X25519 half is not of low order.
/// Sealing to such a key cannot fail.
fn is_xwing_key(key: &[u8; XWING_PUBLIC_KEY_BYTES]) -> bool {
    let below_q = |three: &[u8]| {
        let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
        (a | (b & 0x0f) << 8) < ML_KEM_Q && (b >> 4 | c << 4) < ML_KEM_Q
    };
    key[..COEFFICIENT_BYTES].chunks_exact(3).all(below_q)
        && DevicePublicKey::from_bytes(&key[XWING_PUBLIC_KEY_BYTES - 32..]).is_ok()
}

/// Why the public keys of a member are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// The Ed25519 key is of low order.
    #[error("the signing key is of low order, so anybody can sign for it; do not trust that device")]
    Signing,
    /// The X25519 key is of low order.
    #[error("the envelope key is refused: {0}")]
    Envelope(#[source] DeviceKeyError),
    /// The X-Wing key is not 1216 bytes, or not the encoding of a key.
    #[error("the X-Wing key is malformed; create the device's keys again")]
    XWing,
}

#[cfg(test)]
mod tests {
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    use super::*;
    use crate::draft::{Stamp, genesis};
    use crate::member::{Member, MemberType};

    fn keys() -> MemberKeys {
        MemberKeys {
            signing: KeySeed::from_bytes([1; 32]),
            envelope: DevicePrivateKey::from_bytes([2; 32]),
            keyring: KeySeed::from_bytes([3; 32]),
        }
    }

    #[test]
    fn the_check_of_xwing_keys_agrees_with_the_implementation() {
        let good = keys().public_keys().unwrap();
        for at in (0..COEFFICIENT_BYTES).step_by(5) {
            for value in [0, 0x0d, 0xd0, 0xff] {
                let mut key = *good.keyring();
                key[at] = value;
                let accepted = <XWing as Kem>::PublicKey::from_bytes(&key).is_ok();
                assert_eq!(is_xwing_key(&key), accepted, "byte {at} set to {value}");
            }
        }
        let mut low_order = *good.keyring();
        low_order[XWING_PUBLIC_KEY_BYTES - 32..].fill(0);
        assert!(!is_xwing_key(&low_order));
    }

    #[test]
    fn another_entry_has_another_secret_whatever_it_is_committed_to() {
        let member = |id: &str, member_type| {
            let keys = MemberKeys::generate(&mut UnwrapErr(SysRng)).public_keys().unwrap();
            Member::new(id.into(), member_type, id, keys).unwrap()
        };
        let (laptop, paper) = (member("laptop", MemberType::Device), member("paper", MemberType::Recovery));
        let first = |paper: &Member, slot| {
            genesis(&"user".into(), laptop.clone(), paper.clone(), Stamp { slot, time_ms: 0 })
        };
        let entry = first(&paper, 0);
        let secret = keys().epoch_secret(&entry);
        let committed = entry.clone().commit(entry.header.prev, &secret);
        assert_ne!(committed, entry);
        assert!(keys().epoch_secret(&committed) == secret);
        let others = [first(&member("paper", MemberType::Recovery), 0), first(&paper, 1)];
        assert!(others.iter().all(|other| keys().epoch_secret(other) != secret));
    }

    #[test]
    fn debug_shows_no_private_key() {
        let keys = keys();
        assert_eq!(format!("{keys:?} {:?}", keys.signing), "MemberKeys(..) KeySeed(..)");
    }
}
