//! Wrapping what lies on this device's disk under the database key.
//!
//! ```text
//! aad      "levi/at-rest/v1" || lp(table) || lp(row_key) || lp(column)     where lp(x) = u32be(len(x)) || x
//! wrapped  nonce (24 bytes) || XChaCha20-Poly1305(key, nonce, aad, plain) || tag (16 bytes)
//! ```
//!
//! The additional data ties a value to its slot: copied into another row or column of the database file, it does
//! not open.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::context::{Context, NameTooLong};
use crate::key::stored_key;
use crate::xchacha::{NONCE_BYTES, TAG_BYTES};
use crate::{OpenError, SealError, xchacha};

const LABEL: &str = "levi/at-rest/v1";

/// How much longer a wrapped value is than the plain one, in bytes: nonce and tag.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

stored_key! {
    /// The key that wraps what lies on this device's disk. It stays in the keychain of the device.
    DatabaseKey
}

/// Where a wrapped value lies. It opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The table's name.
    pub table: &'a str,
    /// What tells the row from others, as text.
    pub row_key: &'a str,
    /// The column's name.
    pub column: &'a str,
}

impl Slot<'_> {
    fn aad(&self) -> Result<Context, NameTooLong> {
        Context::new(LABEL).name(self.table)?.name(self.row_key)?.name(self.column)
    }
}

/// Wraps `plain` for `slot` under a nonce drawn from `rng`.
///
/// # Errors
/// [`SealError::TooLong`] for a value or a name beyond what the format can express.
pub fn wrap(
    key: &DatabaseKey,
    slot: Slot<'_>,
    plain: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<u8>, SealError> {
    let aad = slot.aad().map_err(|NameTooLong| SealError::TooLong)?;
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    // The nonce goes first, so the ciphertext is made in its final place behind it.
    let mut wrapped = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    wrapped.extend_from_slice(&nonce);
    wrapped.extend_from_slice(plain);
    xchacha::seal_tail(key.expose_bytes(), &nonce, aad.as_bytes(), &mut wrapped, NONCE_BYTES)?;
    Ok(wrapped)
}

/// Opens what [`wrap`] made for the same slot under the same key.
///
/// # Errors
/// [`OpenError::Truncated`] for a value too short to be wrapped, [`OpenError::Forged`] for another key, another slot
/// or altered bytes.
pub fn unwrap(key: &DatabaseKey, slot: Slot<'_>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // A slot that cannot be expressed cannot have been wrapped for.
    let aad = slot.aad().map_err(|NameTooLong| OpenError::Forged)?;
    let bytes = wrapped.len();
    let (nonce, sealed) = wrapped.split_first_chunk().ok_or(OpenError::Truncated { bytes })?;
    if sealed.len() < TAG_BYTES {
        return Err(OpenError::Truncated { bytes });
    }
    let mut plain = Zeroizing::new(sealed.to_vec());
    xchacha::open_in_place(key.expose_bytes(), nonce, aad.as_bytes(), &mut plain)?;
    Ok(plain)
}
