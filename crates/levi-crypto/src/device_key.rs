//! A device's X25519 key pair.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret, x25519};

use crate::key::{KEY_BYTES, stored_key};

stored_key! {
    /// A device's X25519 private key (RFC 7748). It stays in the keychain of the device.
    ///
    /// Any 32 bytes are a private key; the bits that X25519 fixes are fixed where it is used, and
    /// [`expose_bytes`](Self::expose_bytes) gives back what came in.
    DevicePrivateKey
}

impl DevicePrivateKey {
    /// The public key that goes with it.
    pub fn public_key(&self) -> DevicePublicKey {
        DevicePublicKey(PublicKey::from(&StaticSecret::from(*self.expose_bytes())).to_bytes())
    }
}

/// A device's X25519 public key (RFC 7748), known not to be of low order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DevicePublicKey([u8; KEY_BYTES]);

impl DevicePublicKey {
    /// Takes a public key that came from elsewhere.
    ///
    /// # Errors
    /// [`DeviceKeyError`] for anything but 32 bytes, and for a point of low order: with such a key, every shared
    /// secret is one that anybody knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeviceKeyError> {
        let key: [u8; KEY_BYTES] =
            bytes.try_into().map_err(|_| DeviceKeyError::WrongLength { bytes: bytes.len() })?;
        if is_low_order(key) {
            return Err(DeviceKeyError::LowOrder);
        }
        Ok(Self(key))
    }

    /// Reads a public key as the `devices` table holds it.
    ///
    /// # Errors
    /// [`DeviceKeyError`] for anything but standard padded base64, and as for [`from_bytes`](Self::from_bytes).
    pub fn from_base64(text: &str) -> Result<Self, DeviceKeyError> {
        Self::from_bytes(&STANDARD.decode(text).map_err(|_| DeviceKeyError::NotBase64)?)
    }

    /// The key in standard padded base64, as the `devices` table holds it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for DevicePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DevicePublicKey({})", self.to_base64())
    }
}

/// Whether `point` lies in the subgroup of order 8, in any of its encodings.
///
/// X25519 multiplies by a multiple of 8, which sends exactly those points to zero, whatever the scalar. Which scalar
/// is used here therefore does not matter.
pub(crate) fn is_low_order(point: [u8; KEY_BYTES]) -> bool {
    x25519([1; KEY_BYTES], point).ct_eq(&[0; KEY_BYTES]).into()
}

/// Why something is no device public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceKeyError {
    /// The standard alphabet with padding, and no stray bits at the end.
    #[error("the device's public key is not standard padded base64; register the device again")]
    NotBase64,
    /// X25519 public keys are 32 bytes.
    #[error("the device's public key is {bytes} bytes long instead of 32; register the device again")]
    WrongLength {
        /// What it was instead.
        bytes: usize,
    },
    /// No honest device has such a key.
    #[error("the device's public key is of low order and protects nothing; remove that device")]
    LowOrder,
}
