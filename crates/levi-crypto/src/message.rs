//! Sealing the content of one message.
//!
//! ```text
//! key         32 bytes, from the session secret
//! nonce       24 bytes, fresh for every sealing
//! aad         "levi/message/v1" || u32be(len(session_id)) || session_id || i64be(sequence_number)
//! ciphertext  XChaCha20-Poly1305(key, nonce, aad, content as UTF-8), 16-byte tag at the end
//! ```
//!
//! The additional data ties a ciphertext to its place: a server that moves a row to another session or position
//! makes it undecryptable. A nonce of 24 random bytes does not repeat in practice, however many messages a key
//! seals and however many devices draw them.

use levi_types::SessionId;
use rand_core::CryptoRng;

use crate::context::{Context, NameTooLong};
use crate::{MessageKey, OpenError, SealError, xchacha};

const LABEL: &str = "levi/message/v1";

/// Length of a nonce, in bytes.
pub const NONCE_BYTES: usize = xchacha::NONCE_BYTES;

/// How much longer a ciphertext is than its content, in bytes.
pub const TAG_BYTES: usize = xchacha::TAG_BYTES;

/// Where a message belongs. It opens there and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The session.
    pub session_id: &'a SessionId,
    /// The position in it.
    pub sequence_number: i64,
}

impl Place<'_> {
    fn aad(&self) -> Result<Context, NameTooLong> {
        Ok(Context::new(LABEL).name(self.session_id.as_str())?.number(self.sequence_number))
    }
}

/// A message as the server may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMessage {
    /// Ciphertext, then tag: [`TAG_BYTES`] longer than the content.
    pub ciphertext: Vec<u8>,
    /// Not secret; needed to open.
    pub nonce: [u8; NONCE_BYTES],
}

/// Seals `content` for `place` under a nonce drawn from `rng`. Allocates the ciphertext and nothing else.
///
/// # Errors
/// [`SealError::TooLong`] for a content or a session id beyond what the format can express.
pub fn seal(
    key: &MessageKey,
    place: Place<'_>,
    content: &str,
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<SealedMessage, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let mut ciphertext = Vec::with_capacity(content.len() + TAG_BYTES);
    ciphertext.extend_from_slice(content.as_bytes());
    seal_in_place(key, place, nonce, &mut ciphertext)?;
    Ok(SealedMessage { ciphertext, nonce })
}

/// Seals what `buffer` holds (content as UTF-8) and leaves ciphertext and tag there, without a copy where the
/// buffer has [`TAG_BYTES`] to spare.
///
/// `nonce` must be fresh from a cryptographic random source: two contents under one key and nonce give both away.
///
/// # Errors
/// [`SealError::TooLong`] for a content or a session id beyond what the format can express; `buffer` still holds
/// the content then.
pub fn seal_in_place(
    key: &MessageKey,
    place: Place<'_>,
    nonce: [u8; NONCE_BYTES],
    buffer: &mut Vec<u8>,
) -> Result<(), SealError> {
    let aad = place.aad().map_err(|NameTooLong| SealError::TooLong)?;
    xchacha::seal_in_place(key.expose(), &nonce, aad.as_bytes(), buffer)
}

/// Opens what [`seal`] made for the same place under the same key.
///
/// # Errors
/// [`OpenError`] says whether the row is incomplete (`WrongNonceLength`, `Truncated`), not authentic (`Forged`), or
/// authentic but no text (`NotUtf8`).
pub fn open(
    key: &MessageKey,
    place: Place<'_>,
    ciphertext: &[u8],
    nonce: &[u8],
) -> Result<String, OpenError> {
    let nonce = nonce.try_into().map_err(|_| OpenError::WrongNonceLength { bytes: nonce.len() })?;
    // A place that cannot be expressed cannot have been sealed for.
    let aad = place.aad().map_err(|NameTooLong| OpenError::Forged)?;
    let mut content = ciphertext.to_vec();
    xchacha::open_in_place(key.expose(), nonce, aad.as_bytes(), &mut content)?;
    String::from_utf8(content).map_err(|_| OpenError::NotUtf8)
}
