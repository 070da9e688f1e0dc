//! Nonces that name the writer, the message and its content.
//!
//! ```text
//! nonce_key  HMAC-SHA256(key, "levi/nonce/v1")
//! named      writer || lp(session_id) || lp(message_id) || i64be(sequence_number)
//! message    the first 8 bytes of HMAC-SHA256(nonce_key, 0x00 || named)
//! nonce      message || the first 16 bytes of HMAC-SHA256(nonce_key, 0x01 || named || message || content)
//! ```
//!
//! `key` is the session's, in version 2 too, and `content` is what is encrypted: in version 2 with
//! its length before it and its padding. The same text of the same message, sealed again by the
//! same writer, gives the same row; another text gives another nonce. So a writer that finds a row
//! under its number learns from the nonce alone whether the row is its own text, an earlier text of
//! its own message, or another writer's. To anyone without the session's key, a nonce only shows
//! which rows are versions of one message.

use ring::hmac::{Context, HMAC_SHA256, Key, Tag, sign};

use crate::MessageKey;
use crate::at_rest::DatabaseKey;
use crate::position::MessagePosition;
use crate::xchacha::NONCE_BYTES;

/// Length of a writer's id, in bytes.
pub const WRITER_BYTES: usize = 16;

/// Bytes of the nonce that name the writer and the message.
const MESSAGE_BYTES: usize = 8;

/// Who writes a message, and which of its messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author<'a> {
    /// One for each device or outbox. Not secret.
    pub writer: &'a [u8; WRITER_BYTES],
    /// The daemon's own id for the message.
    pub message_id: &'a str,
}

/// The id of the writer that has this database key, so that a device that lost its outbox still
/// recognizes its own messages. Reveals nothing about the key.
pub fn writer_of(key: &DatabaseKey) -> [u8; WRITER_BYTES] {
    let tag = sign(&Key::new(HMAC_SHA256, key.expose_bytes()), b"levi/writer/v1");
    let mut writer = [0; WRITER_BYTES];
    writer.copy_from_slice(&tag.as_ref()[..WRITER_BYTES]);
    writer
}

/// The nonce for `content` at `position`, by `author`.
pub(crate) fn derive(
    key: &MessageKey,
    position: MessagePosition<'_>,
    author: Author<'_>,
    content: &[u8],
) -> [u8; NONCE_BYTES] {
    let key = nonce_key(key);
    let message = name(&key, &[0], position, author).sign();
    let message = &message.as_ref()[..MESSAGE_BYTES];
    let mut context = name(&key, &[1], position, author);
    context.update(message);
    context.update(content);
    let content: Tag = context.sign();
    let mut nonce = [0; NONCE_BYTES];
    nonce[..MESSAGE_BYTES].copy_from_slice(message);
    nonce[MESSAGE_BYTES..].copy_from_slice(&content.as_ref()[..NONCE_BYTES - MESSAGE_BYTES]);
    nonce
}

fn nonce_key(key: &MessageKey) -> Key {
    Key::new(HMAC_SHA256, sign(&Key::new(HMAC_SHA256, key.expose()), b"levi/nonce/v1").as_ref())
}

/// Whether `nonce` belongs to a version of this message by `author` that was sealed under `key`.
/// `key` may be an earlier key of the session, because under another key the same message has other
/// nonces.
pub fn is_nonce_of(
    nonce: &[u8],
    key: &MessageKey,
    position: MessagePosition<'_>,
    author: Author<'_>,
) -> bool {
    let message = name(&nonce_key(key), &[0], position, author).sign();
    nonce.len() == NONCE_BYTES && nonce[..MESSAGE_BYTES] == message.as_ref()[..MESSAGE_BYTES]
}

/// The first 8 of the bytes of a nonce that depend on the content. They are the same for the same
/// text of the same message by the same writer under one session's key, and reveal nothing without
/// that key. `None` for bytes that are not a nonce.
pub fn text_of(nonce: &[u8]) -> Option<[u8; 8]> {
    let content = nonce.get(MESSAGE_BYTES..).filter(|_| nonce.len() == NONCE_BYTES)?;
    content.first_chunk().copied()
}

/// Whether two nonces that [`derive`] made are of versions of one message by one writer.
pub fn same_message(one: &[u8], other: &[u8]) -> bool {
    one.len() == NONCE_BYTES && other.len() == NONCE_BYTES && one[..MESSAGE_BYTES] == other[..MESSAGE_BYTES]
}

fn name(key: &Key, label: &[u8], position: MessagePosition<'_>, author: Author<'_>) -> Context {
    let mut context = Context::with_key(key);
    context.update(label);
    context.update(author.writer);
    for text in [position.session_id.as_str(), author.message_id] {
        // Ids have at most 256 bytes.
        context.update(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(text.as_bytes());
    }
    context.update(&position.sequence_number.to_be_bytes());
    context
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::SessionSecret;
    use crate::message::{open, seal_as};

    #[test]
    fn a_nonce_tells_the_same_text_an_edit_and_another_writer_apart() {
        let secret = SessionSecret::generate(&mut StdRng::seed_from_u64(1));
        let key = secret.message_key();
        let session = "s".into();
        let nonce = |writer: u8, id: &str, number: i64, content: &str| {
            let position = MessagePosition { session_id: &session, sequence_number: number };
            let author = Author { writer: &[writer; WRITER_BYTES], message_id: id };
            let sealed = seal_as(&key, position, content, author).unwrap();
            assert_eq!(open(&key, position, &sealed.ciphertext, &sealed.nonce).unwrap(), content);
            sealed.nonce
        };
        let first = nonce(1, "m", 7, "text");
        assert_eq!(first, nonce(1, "m", 7, "text"));
        let edit = nonce(1, "m", 7, "another text");
        assert!(same_message(&first, &edit) && first != edit);
        for other in [nonce(2, "m", 7, "text"), nonce(1, "n", 7, "text"), nonce(1, "m", 8, "text")] {
            assert!(!same_message(&first, &other));
        }
        assert!(!same_message(&first[..23], &first), "a nonce of another length was not made here");
    }
}
