//! A device's X25519 key pair.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x25519_dalek::{PublicKey, StaticSecret};

use crate::key::{KEY_BYTES, stored_key};

stored_key! {
    /// A device's X25519 private key (RFC 7748), stored in the device's keychain.
    ///
    /// Any 32 bytes are a private key. X25519 clamps them at each use;
    /// [`expose_bytes`](Self::expose_bytes) returns them unclamped.
    DevicePrivateKey
}

impl DevicePrivateKey {
    /// The matching public key.
    pub fn public_key(&self) -> DevicePublicKey {
        DevicePublicKey(PublicKey::from(&StaticSecret::from(*self.expose_bytes())).to_bytes())
    }
}

/// A device's X25519 public key (RFC 7748). Never of low order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DevicePublicKey([u8; KEY_BYTES]);

impl DevicePublicKey {
    /// Checks and takes the bytes of a public key.
    ///
    /// # Errors
    /// [`DeviceKeyError`] for anything but 32 bytes, and for a point of low order: with such a key,
    /// every shared secret is zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeviceKeyError> {
        let key: [u8; KEY_BYTES] =
            bytes.try_into().map_err(|_| DeviceKeyError::WrongLength { bytes: bytes.len() })?;
        if is_low_order(key) {
            return Err(DeviceKeyError::LowOrder);
        }
        Ok(Self(key))
    }

    /// Parses a public key as stored in the `devices` table.
    ///
    /// # Errors
    /// [`DeviceKeyError`] for anything but standard padded base64, and as for
    /// [`from_bytes`](Self::from_bytes).
    pub fn from_base64(text: &str) -> Result<Self, DeviceKeyError> {
        Self::from_bytes(&STANDARD.decode(text).map_err(|_| DeviceKeyError::NotBase64)?)
    }

    /// The key in standard padded base64, as stored in the `devices` table.
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

/// Every u-coordinate below 2^255 of a point of low order, on the curve or its twist, as
/// little-endian bytes: orders 2 and 4, the two of order 8, and those of them that fit in once more
/// with the prime p = 2^255 - 19 added.
#[rustfmt::skip]
const LOW_ORDER: [[u8; KEY_BYTES]; 7] = {
    const fn near_p(lowest: u8) -> [u8; KEY_BYTES] {
        let mut point = [0xff; KEY_BYTES];
        point[0] = lowest;
        point[KEY_BYTES - 1] = 0x7f;
        point
    }
    const fn small(value: u8) -> [u8; KEY_BYTES] {
        let mut point = [0; KEY_BYTES];
        point[0] = value;
        point
    }
    [
        small(0),
        small(1),
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
            0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
            0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
        near_p(0xec), // p - 1
        near_p(0xed), // p, which is 0
        near_p(0xee), // p + 1, which is 1
    ]
};

/// Whether `point` is of low order, in any of its encodings (X25519 ignores the highest bit). The
/// value is public, so the comparison need not be constant-time. A multiplication would take a
/// third as long as sealing an envelope.
pub(crate) fn is_low_order(mut point: [u8; KEY_BYTES]) -> bool {
    point[KEY_BYTES - 1] &= 0x7f;
    LOW_ORDER.contains(&point)
}

/// Why something is not a device public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceKeyError {
    /// The text is not canonical base64 in the standard alphabet with padding.
    #[error("the device's public key is not standard padded base64; register the device again")]
    NotBase64,
    /// X25519 public keys are 32 bytes.
    #[error("the device's public key is {bytes} bytes long instead of 32; register the device again")]
    WrongLength {
        /// The actual length.
        bytes: usize,
    },
    /// A point of low order. No honest device has such a key.
    #[error("the device's public key is of low order and gives no protection; remove that device")]
    LowOrder,
}

#[cfg(test)]
mod tests {
    use x25519_dalek::x25519;

    use super::{LOW_ORDER, is_low_order};

    /// X25519 multiplies by a multiple of 8, which sends exactly the points of low order to zero.
    #[test]
    fn the_table_agrees_with_multiplication() {
        let neighbours = LOW_ORDER.into_iter().flat_map(|point| {
            [0, 1, 2, 3, 0x80].into_iter().flat_map(move |change| {
                [0, 15, 31].map(|place| {
                    let mut point = point;
                    point[place] ^= change;
                    point
                })
            })
        });
        for point in neighbours {
            assert_eq!(is_low_order(point), x25519([1; 32], point) == [0; 32], "{point:02x?}");
        }
    }
}
