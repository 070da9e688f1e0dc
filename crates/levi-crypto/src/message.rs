//! Encryption of one message's content.
//!
//! ```text
//! key         32 bytes, from the session secret
//! nonce       24 bytes, random, or derived from writer, message and content
//! aad         "levi/message/v1" || u32be(len(session_id)) || session_id || i64be(sequence_number)
//! ciphertext  XChaCha20-Poly1305(key, nonce, aad, content as UTF-8), 16-byte tag at the end
//! ```
//!
//! The additional data binds a ciphertext to its position: a row that a server moves to another
//! session or sequence number does not open. A nonce of 24 random bytes does not repeat in
//! practice, however many messages a key seals and however many devices draw nonces. A
//! [derived](seal_as) one repeats only for the same content of the same message of the same writer,
//! which gives the same row.

use rand_core::CryptoRng;

use crate::context::{Context, NameTooLong};
use crate::key::KEY_BYTES;
use crate::nonce::{self, Author};
use crate::{MessageKey, OpenError, SealError, xchacha};

pub use crate::position::MessagePosition;

const LABEL: &str = "levi/message/v1";

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = xchacha::NONCE_BYTES;

/// How many bytes longer a ciphertext is than its content.
pub const TAG_BYTES: usize = xchacha::TAG_BYTES;

impl MessagePosition<'_> {
    fn aad(&self) -> Result<Context, NameTooLong> {
        Ok(Context::new(LABEL).name(self.session_id.as_str())?.number(self.sequence_number))
    }
}

/// An encrypted message, as stored on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMessage {
    /// Ciphertext, then tag: [`TAG_BYTES`] longer than the content.
    pub ciphertext: Vec<u8>,
    /// Not secret; needed to open.
    pub nonce: [u8; NONCE_BYTES],
}

/// Seals `content` for `position` under a nonce drawn from `rng`. Allocates only the ciphertext.
///
/// # Errors
/// [`SealError::TooLong`] if the content or the session id is longer than the format allows.
pub fn seal(
    key: &MessageKey,
    position: MessagePosition<'_>,
    content: &str,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<SealedMessage, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    encrypt(key, position, content, nonce)
}

/// Seals `content` for `position` under a nonce that is derived from `author` and `content`: the
/// same again gives the same row, and [`same_message`](crate::same_message) tells an edit of the
/// message from another writer's row.
///
/// # Errors
/// [`SealError::TooLong`] if the content or the session id is longer than the format allows.
pub fn seal_as(
    key: &MessageKey,
    position: MessagePosition<'_>,
    content: &str,
    author: Author<'_>,
) -> Result<SealedMessage, SealError> {
    let nonce = nonce::derive(key, position, author, content.as_bytes());
    encrypt(key, position, content, nonce)
}

fn encrypt(
    key: &MessageKey,
    position: MessagePosition<'_>,
    content: &str,
    nonce: [u8; NONCE_BYTES],
) -> Result<SealedMessage, SealError> {
    let mut ciphertext = Vec::with_capacity(content.len() + TAG_BYTES);
    ciphertext.extend_from_slice(content.as_bytes());
    seal_in_place(key, position, nonce, &mut ciphertext)?;
    Ok(SealedMessage { ciphertext, nonce })
}

/// Replaces the content in `buffer` (UTF-8) with ciphertext and tag. Does not reallocate if the
/// buffer has [`TAG_BYTES`] to spare.
///
/// `nonce` must come from a cryptographic random source, or be derived as in [`seal_as`], and be
/// used for one content only: two contents under the same key and nonce reveal each other.
///
/// # Errors
/// [`SealError::TooLong`] if the content or the session id is longer than the format allows;
/// `buffer` then still holds the content.
pub fn seal_in_place(
    key: &MessageKey,
    position: MessagePosition<'_>,
    nonce: [u8; NONCE_BYTES],
    buffer: &mut Vec<u8>,
) -> Result<(), SealError> {
    let aad = position.aad().map_err(|NameTooLong| SealError::TooLong)?;
    xchacha::seal_in_place(key.expose(), &nonce, aad.as_bytes(), buffer)
}

/// Opens what [`seal`] made for the same position under the same key.
///
/// # Errors
/// [`OpenError`] says whether the row is incomplete (`WrongNonceLength`, `Truncated`), not
/// authentic (`Forged`), or authentic but not text (`NotUtf8`).
pub fn open(
    key: &MessageKey,
    position: MessagePosition<'_>,
    ciphertext: &[u8],
    nonce: &[u8],
) -> Result<String, OpenError> {
    open_owned(key, position, ciphertext.to_vec(), nonce)
}

/// As [`open`], in the memory of the ciphertext.
///
/// # Errors
/// As for [`open`]
pub fn open_owned(
    key: &MessageKey,
    position: MessagePosition<'_>,
    ciphertext: Vec<u8>,
    nonce: &[u8],
) -> Result<String, OpenError> {
    let content = decrypt(key.expose(), position.aad(), ciphertext, nonce)?;
    String::from_utf8(content).map_err(|_| OpenError::NotUtf8)
}

/// Decrypts what is bound to `aad`, in the memory of the ciphertext.
pub(crate) fn decrypt(
    key: &[u8; KEY_BYTES],
    aad: Result<Context, NameTooLong>,
    ciphertext: Vec<u8>,
    nonce: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let nonce = nonce.try_into().map_err(|_| OpenError::WrongNonceLength { bytes: nonce.len() })?;
    // Nothing can have been sealed for a position that the format does not allow.
    let aad = aad.map_err(|NameTooLong| OpenError::Forged)?;
    let mut plain = ciphertext;
    xchacha::open_in_place(key, nonce, aad.as_bytes(), &mut plain)?;
    Ok(plain)
}
