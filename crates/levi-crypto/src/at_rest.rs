//! Encryption of values stored on this device's disk, under the database key.
//!
//! ```text
//! aad      "levi/at-rest/v1" || lp(table) || lp(row_key) || lp(column)     where lp(x) = u32be(len(x)) || x
//! sealed   nonce (24 bytes) || XChaCha20-Poly1305(key, nonce, aad, plain) || tag (16 bytes)
//! ```
//!
//! The additional data binds a value to its slot: copied to another row or column of the database
//! file, it does not open.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use crate::aead::OVERHEAD_BYTES;

use crate::context::{Context, NameTooLong};
use crate::key::stored_key;
use crate::{OpenError, SealError, aead};

const LABEL: &str = "levi/at-rest/v1";

stored_key! {
    /// Encrypts what is stored on this device's disk. The key itself is stored in the device's
    /// keychain.
    DatabaseKey
}

/// Where a sealed value is stored. It opens only there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's key, as text.
    pub row_key: &'a str,
    /// The column's name.
    pub column: &'a str,
}

impl Slot<'_> {
    fn aad(&self) -> Result<Context, NameTooLong> {
        Context::new(LABEL).name(self.table)?.name(self.row_key)?.name(self.column)
    }
}

/// Seals `plain` for `slot` under a nonce drawn from `rng`.
///
/// # Errors
/// [`SealError::TooLong`] if the value or a name is longer than the format allows.
pub fn seal(
    key: &DatabaseKey,
    slot: Slot<'_>,
    plain: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<u8>, SealError> {
    let aad = slot.aad().map_err(|NameTooLong| SealError::TooLong)?;
    aead::seal(key.expose_bytes(), aad.as_bytes(), plain, rng)
}

/// Opens what [`seal`] made for the same slot under the same key.
///
/// # Errors
/// [`OpenError::Truncated`] for a value shorter than nonce and tag, [`OpenError::Forged`] for
/// another key, another slot or altered bytes.
pub fn open(key: &DatabaseKey, slot: Slot<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    // Nothing can have been sealed for a slot that the format does not allow.
    let aad = slot.aad().map_err(|NameTooLong| OpenError::Forged)?;
    aead::open(key.expose_bytes(), aad.as_bytes(), sealed)
}
