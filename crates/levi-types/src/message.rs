use std::fmt;

use crate::{MessageId, SessionId};

/// The longest id that Levi accepts, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 256;

/// One message to encrypt and sync.
///
/// `Debug` shows the ids and the content's length, never the content.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageSyncRequest {
    /// The daemon's own id for the message. A second request with the same message id, session and sequence number
    /// replaces the first.
    pub message_id: MessageId,
    /// The session of the message. Its key encrypts the content. A lower-case uuid: one in upper case is refused at
    /// once, and other text is parked when PostgreSQL refuses it (22P02).
    pub session_id: SessionId,
    /// The position in the session: zero or more, unique in the session.
    pub sequence_number: i64,
    /// Any UTF-8, NUL included. May be empty.
    pub content: String,
}

impl MessageSyncRequest {
    /// Checks the fields. Needs neither a key nor a disk.
    ///
    /// # Errors
    /// [`InvalidMessage`], which names the field and says what to do.
    pub fn check(&self, max_message_bytes: usize) -> Result<(), InvalidMessage> {
        check_id("message_id", self.message_id.as_str())?;
        check_id("session_id", self.session_id.as_str())?;
        if is_upper_case_uuid(self.session_id.as_str()) {
            return Err(InvalidMessage::UpperCaseUuid { field: "session_id" });
        }
        if self.sequence_number < 0 {
            return Err(InvalidMessage::NegativeSequenceNumber(self.sequence_number));
        }
        if self.content.len() > max_message_bytes {
            return Err(InvalidMessage::TooLarge { bytes: self.content.len(), limit: max_message_bytes });
        }
        Ok(())
    }
}

/// Checks an id that is sealed and sent as text; `field` is what an error calls it.
///
/// # Errors
/// [`InvalidMessage`] for an id that is empty, long, or holds a control character.
pub fn check_id(field: &'static str, id: &str) -> Result<(), InvalidMessage> {
    if id.is_empty() {
        return Err(InvalidMessage::EmptyId { field });
    }
    if id.len() > MAX_ID_BYTES {
        return Err(InvalidMessage::LongId { field, bytes: id.len() });
    }
    if id.chars().any(char::is_control) {
        return Err(InvalidMessage::ControlInId { field });
    }
    Ok(())
}

/// Whether `id` is a uuid (RFC 9562) written with upper-case letters.
///
/// PostgreSQL returns uuids in lower case, and ciphertext is bound to ids as text. So a reader that has the id from the
/// server cannot open what was sealed under the upper-case form.
pub fn is_upper_case_uuid(id: &str) -> bool {
    let shape = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    id.len() == 36 && id.bytes().enumerate().all(shape) && id.bytes().any(|byte| byte.is_ascii_uppercase())
}

impl fmt::Debug for MessageSyncRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSyncRequest")
            .field("message_id", &self.message_id)
            .field("session_id", &self.session_id)
            .field("sequence_number", &self.sequence_number)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

/// Why a message is refused. No variant contains content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// An id was empty.
    #[error("{field} is empty; give every message a non-empty {field}")]
    EmptyId {
        /// The id's field.
        field: &'static str,
    },
    /// An id was longer than [`MAX_ID_BYTES`].
    #[error("{field} is {bytes} bytes long; the limit is {MAX_ID_BYTES}")]
    LongId {
        /// The id's field.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// An id held a NUL or another control character.
    #[error("{field} holds a control character; ids are printable text")]
    ControlInId {
        /// The id's field.
        field: &'static str,
    },
    /// A uuid in upper case.
    #[error(
        "{field} is a uuid with upper-case letters; the server returns it in lower case, so write it in lower case"
    )]
    UpperCaseUuid {
        /// The id's field.
        field: &'static str,
    },
    /// A sequence number below zero.
    #[error("sequence_number is {0}; it must be zero or more")]
    NegativeSequenceNumber(i64),
    /// The content is over the configured limit.
    #[error("content is {bytes} bytes; the limit is {limit} (max_message_bytes)")]
    TooLarge {
        /// The content's length in bytes of UTF-8.
        bytes: usize,
        /// The configured limit.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        message_id: &str,
        session_id: &str,
        sequence_number: i64,
        content: &str,
    ) -> MessageSyncRequest {
        MessageSyncRequest {
            message_id: message_id.into(),
            session_id: session_id.into(),
            sequence_number,
            content: content.into(),
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        let table = [
            (request("m", "s", 0, ""), Ok(())),
            (request("m", "s", i64::MAX, "\0 \u{1F600}"), Ok(())),
            (request("", "s", 0, ""), Err(InvalidMessage::EmptyId { field: "message_id" })),
            (request("m", "", 0, ""), Err(InvalidMessage::EmptyId { field: "session_id" })),
            (request("m", "s", -1, ""), Err(InvalidMessage::NegativeSequenceNumber(-1))),
            (request("m", "s\0", 0, ""), Err(InvalidMessage::ControlInId { field: "session_id" })),
            (
                request("m", &long, 0, ""),
                Err(InvalidMessage::LongId { field: "session_id", bytes: MAX_ID_BYTES + 1 }),
            ),
            (
                request("m", "8F14E45F-CEEA-467F-A8D5-2F0C1C1D6A03", 0, ""),
                Err(InvalidMessage::UpperCaseUuid { field: "session_id" }),
            ),
            (request("m", "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03", 0, ""), Ok(())),
            (request("m", "DRAFT", 0, ""), Ok(())),
            (request("m", "s", 0, "123456789"), Err(InvalidMessage::TooLarge { bytes: 9, limit: 8 })),
        ];
        for (request, expected) in table {
            assert_eq!(request.check(8), expected, "{request:?}");
        }
    }

    #[test]
    fn debug_never_shows_content() {
        let shown = format!("{:?}", request("m", "s", 1, "the secret plan"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
