//! Ed25519 signatures (RFC 8032) by ring, which verifies strictly: `S` must be below the group's
//! order, and the check is the one without the cofactor, so that nobody can make a second signature
//! from a first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::hash::write_hex;

/// An Ed25519 public key. Never of low order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Checks and takes the 32 bytes of a public key.
    ///
    /// Does not check that the bytes are a point of the curve. No signature verifies under other
    /// bytes, and every member's key must verify a signature before the member is accepted.
    ///
    /// # Errors
    /// [`SignatureError::LowOrder`] for the points under which anybody can sign.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SignatureError> {
        if is_low_order(bytes) { Err(SignatureError::LowOrder) } else { Ok(Self(bytes)) }
    }

    /// The key's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// # Errors
    /// [`SignatureError::Forged`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        key.verify(message, &signature.0).map_err(|_| SignatureError::Forged)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Takes the signature's 64 bytes.
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The signature's 64 bytes.
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Standard padded base64, as stored on the server.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Parses what [`to_base64`](Self::to_base64) returns.
    ///
    /// # Errors
    /// [`SignatureError::Malformed`] for anything but 64 bytes in standard padded base64.
    pub fn from_base64(text: &str) -> Result<Self, SignatureError> {
        let bytes = STANDARD.decode(text).map_err(|_| SignatureError::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| SignatureError::Malformed)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// Why a signature or its key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 64 bytes in standard padded base64.
    #[error("the signature is not 64 bytes in standard padded base64; fetch the row again")]
    Malformed,
    /// The signature does not verify.
    #[error("the signature does not verify; do not trust what it is said to sign")]
    Forged,
    /// A point of low order. No honest device has such a key.
    #[error("the signing key is of low order, so anybody can sign for it; do not trust that device")]
    LowOrder,
}

/// Every y-coordinate below 2^255 of an Ed25519 point of low order, as little-endian bytes: those
/// of order 1, 2, 4 and the two of order 8, and those of them that fit in once more with the prime
/// p = 2^255 - 19 added.
#[rustfmt::skip]
const LOW_ORDER: [[u8; 32]; 7] = {
    const fn near_p(lowest: u8) -> [u8; 32] {
        let mut point = [0xff; 32];
        point[0] = lowest;
        point[31] = 0x7f;
        point
    }
    const fn small(value: u8) -> [u8; 32] {
        let mut point = [0; 32];
        point[0] = value;
        point
    }
    [
        small(0),
        small(1),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
        near_p(0xec), // p - 1
        near_p(0xed), // p, which is 0
        near_p(0xee), // p + 1, which is 1
    ]
};

/// Whether `point` is of low order, in any of its encodings. The highest bit is the sign of x. The
/// value is public, so the comparison need not be constant-time.
fn is_low_order(mut point: [u8; 32]) -> bool {
    point[31] &= 0x7f;
    LOW_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::edwards::CompressedEdwardsY;

    use super::{LOW_ORDER, is_low_order};

    #[test]
    fn the_table_holds_every_point_of_low_order_and_no_other() {
        for point in EIGHT_TORSION {
            assert!(is_low_order(point.compress().to_bytes()));
        }
        for listed in LOW_ORDER {
            for change in [0, 1, 2, 4, 0x80] {
                let mut encoding = listed;
                encoding[0] ^= change & 0x7f;
                encoding[31] ^= change & 0x80;
                let point = CompressedEdwardsY(encoding).decompress();
                // x = 0 with the sign bit set decompresses in some implementations only.
                if let Some(point) = point {
                    assert_eq!(is_low_order(encoding), point.is_small_order(), "{encoding:02x?}");
                }
            }
        }
    }
}
