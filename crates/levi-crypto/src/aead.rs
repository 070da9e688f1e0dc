//! XChaCha20-Poly1305 with the nonce in front, for formats that other crates of the workspace
//! define.
//!
//! ```text
//! sealed   nonce (24 bytes) || XChaCha20-Poly1305(key, nonce, aad, plain) || tag (16 bytes)
//! ```
//!
//! The nonce is random and new for every sealing, so one key may seal any number of values.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::key::KEY_BYTES;
use crate::xchacha::{NONCE_BYTES, TAG_BYTES};
use crate::{OpenError, SealError, xchacha};

/// How many bytes longer a sealed value is than the plain one: nonce and tag.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Seals `plain` under a nonce drawn from `rng`, bound to `aad`.
///
/// # Errors
/// [`SealError::TooLong`] if the value is longer than the format allows.
pub fn seal(
    key: &[u8; KEY_BYTES],
    aad: &[u8],
    plain: &[u8],
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    // The nonce comes first, so the ciphertext is made in its final place after it.
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    xchacha::seal_tail(key, &nonce, aad, &mut sealed, NONCE_BYTES)?;
    Ok(sealed)
}

/// Opens what [`seal`] made under the same key and for the same `aad`.
///
/// # Errors
/// [`OpenError::Truncated`] for a value shorter than nonce and tag, [`OpenError::Forged`] for
/// another key, other `aad` or altered bytes.
pub fn open(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let bytes = sealed.len();
    let (nonce, ciphertext) = sealed.split_first_chunk().ok_or(OpenError::Truncated { bytes })?;
    if ciphertext.len() < TAG_BYTES {
        return Err(OpenError::Truncated { bytes });
    }
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    xchacha::open_in_place(key, nonce, aad, &mut plain)?;
    Ok(plain)
}
