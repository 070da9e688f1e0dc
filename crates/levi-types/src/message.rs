use std::fmt;

use crate::{MessageId, SessionId};

/// The longest id, in bytes of UTF-8, that Levi takes.
pub const MAX_ID_BYTES: usize = 256;

/// One message to be sealed and synced.
///
/// `Debug` shows the ids and the content's length, never the content.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageSyncRequest {
    /// The daemon's own name for the message. A second request with the same message id, session and
    /// sequence number replaces the first.
    pub message_id: MessageId,
    /// The session the message belongs to; its key seals the content. A uuid in lower case: one in upper case is
    /// refused at once, and what is no uuid is set aside when PostgreSQL refuses it (22P02).
    pub session_id: SessionId,
    /// Place in the session, zero or more, unique per session.
    pub sequence_number: i64,
    /// The message itself: any UTF-8, NUL included, may be empty.
    pub content: String,
}

impl MessageSyncRequest {
    /// Checks everything that can be checked without a key or a disk.
    ///
    /// # Errors
    /// [`InvalidMessage`], naming the field and what to do.
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

fn check_id(field: &'static str, id: &str) -> Result<(), InvalidMessage> {
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
/// PostgreSQL hands uuids back in lower case, and ids are sealed as text: what is sealed under the upper-case form
/// cannot be opened by a reader who learned the id from the server.
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

/// Why a message cannot be taken. No variant carries content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// An id was empty.
    #[error("{field} is empty; give every message a non-empty {field}")]
    EmptyId {
        /// Which id.
        field: &'static str,
    },
    /// An id was longer than [`MAX_ID_BYTES`].
    #[error("{field} is {bytes} bytes long; the limit is {MAX_ID_BYTES}")]
    LongId {
        /// Which id.
        field: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// An id held a NUL or another control character.
    #[error("{field} holds a control character; ids are printable text")]
    ControlInId {
        /// Which id.
        field: &'static str,
    },
    /// A uuid in upper case.
    #[error(
        "{field} is a uuid with upper-case letters; the server hands it back in lower case, so write it so"
    )]
    UpperCaseUuid {
        /// Which id.
        field: &'static str,
    },
    /// Sequence numbers start at zero.
    #[error("sequence_number is {0}; it must be zero or more")]
    NegativeSequenceNumber(i64),
    /// The content is over the configured limit.
    #[error("content is {bytes} bytes; the limit is {limit} (max_message_bytes)")]
    TooLarge {
        /// The content's length in bytes of UTF-8.
        bytes: usize,
        /// The limit in force.
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
