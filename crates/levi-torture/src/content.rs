//! The content of each message and the secret of each session. Both are derived from ids, so that a
//! check needs no list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use levi::{MessageSyncRequest, SessionId, SessionSecret};
use levi_testkit::fixtures::SeededRandom;

use crate::Error;

/// The secret of a session, derived from its id. For tests only.
///
/// # Errors
/// None in practice, because the text is well formed.
pub fn secret_of(session: &SessionId) -> Result<SessionSecret, Error> {
    let mut bytes = [0; 32];
    SeededRandom::new(seed_of(session.as_str(), -1)).fill(&mut bytes);
    Ok(SessionSecret::parse(&format!("sess_{}", URL_SAFE_NO_PAD.encode(bytes)))?)
}

/// The message with this sequence number. Its content has about `bytes` bytes.
pub fn message(session: &SessionId, sequence_number: i64, bytes: usize) -> MessageSyncRequest {
    MessageSyncRequest {
        message_id: format!("{session}-{sequence_number}").as_str().into(),
        session_id: session.clone(),
        sequence_number,
        content: content(session, sequence_number, bytes),
    }
}

/// Whether `text` is the content of the message with this sequence number, at any length.
pub fn is_content(session: &SessionId, sequence_number: i64, text: &str) -> bool {
    content(session, sequence_number, text.len()) == text
}

/// The session and the sequence number, filled up with hexadecimal digits.
fn content(session: &SessionId, sequence_number: i64, bytes: usize) -> String {
    let mut text = format!("{session} {sequence_number} ");
    let mut random = SeededRandom::new(seed_of(session.as_str(), sequence_number));
    while text.len() < bytes {
        text.push_str(&format!("{:016x}", random.next_u64()));
    }
    // A shorter text would not differ from one session to the next.
    text.truncate(bytes.max(session.as_str().len() + 2));
    text
}

/// FNV-1a of the name and the number.
fn seed_of(name: &str, number: i64) -> u64 {
    let bytes = name.bytes().chain(number.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
