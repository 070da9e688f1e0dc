//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 turns the key and the first 16 bytes
//! of the nonce into a subkey, and ChaCha20-Poly1305 (RFC 8439) uses that subkey with the nonce
//! `0^4 || nonce[16..24]`.
//!
//! ChaCha20-Poly1305 is ring's, whose assembly is three to five times as fast as a portable
//! implementation. ring does not zeroise its keys. It may leave a subkey on the stack, which serves
//! a single nonce, and from which the key cannot be computed.

use chacha20::R20;
use chacha20::cipher::Array;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroize;

use crate::key::KEY_BYTES;
use crate::{OpenError, SealError};

pub(crate) const NONCE_BYTES: usize = 24;
pub(crate) const TAG_BYTES: usize = 16;

type Key = [u8; KEY_BYTES];
type ExtendedNonce = [u8; NONCE_BYTES];

/// Encrypts `buffer` in place and appends the tag to it.
pub(crate) fn seal_in_place(
    key: &Key,
    nonce: &ExtendedNonce,
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), SealError> {
    seal_tail(key, nonce, aad, buffer, 0)
}

/// Like [`seal_in_place`], but leaves the first `start` bytes of `buffer` as they are.
pub(crate) fn seal_tail(
    key: &Key,
    nonce: &ExtendedNonce,
    aad: &[u8],
    buffer: &mut Vec<u8>,
    start: usize,
) -> Result<(), SealError> {
    let plain = &mut buffer[start..];
    let tag = subkey(key, nonce)
        .and_then(|subkey| subkey.seal_in_place_separate_tag(short_nonce(nonce), Aad::from(aad), plain))
        .map_err(|_| SealError::TooLong)?;
    buffer.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Decrypts `buffer` (ciphertext, then tag) in place and shortens it to the plaintext. After an
/// error, the content of `buffer` is unspecified.
pub(crate) fn open_in_place(
    key: &Key,
    nonce: &ExtendedNonce,
    aad: &[u8],
    buffer: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let bytes = buffer.len();
    if bytes < TAG_BYTES {
        return Err(OpenError::Truncated { bytes });
    }
    subkey(key, nonce)
        .and_then(|subkey| subkey.open_in_place(short_nonce(nonce), Aad::from(aad), buffer).map(|_| ()))
        .map_err(|_| OpenError::Forged)?;
    buffer.truncate(bytes - TAG_BYTES);
    Ok(())
}

fn subkey(key: &Key, nonce: &ExtendedNonce) -> Result<LessSafeKey, ring::error::Unspecified> {
    let (head, _) = nonce.split_at(16);
    let mut input = Array::default();
    input.copy_from_slice(head);
    let mut subkey = chacha20::hchacha::<R20>(key.into(), &input);
    let unbound = UnboundKey::new(&CHACHA20_POLY1305, &subkey);
    subkey.zeroize();
    unbound.map(LessSafeKey::new)
}

fn short_nonce(nonce: &ExtendedNonce) -> Nonce {
    let mut short = [0; 12];
    short[4..].copy_from_slice(&nonce[16..]);
    Nonce::assume_unique_for_key(short)
}

#[cfg(test)]
mod tests;
