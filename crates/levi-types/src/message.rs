use std::fmt;

use crate::{MessageId, NotAUuid, SessionId};

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
    /// The session of the message. Its key encrypts the content. A uuid in the server's spelling.
    pub session_id: SessionId,
    /// The position in the session: zero or more, unique in the session.
    pub sequence_number: i64,
    /// Any UTF-8, NUL included. May be empty.
    pub content: String,
}

impl MessageSyncRequest {
    /// A message from its parts.
    ///
    /// ```
    /// use levi_types::MessageSyncRequest;
    ///
    /// let session = "0d5f4c1e-6f7a-4b0e-9f53-0c1d2e3f4a5b".into();
    /// let message = MessageSyncRequest::new("message-1", session, 1, "Hello, world!");
    /// assert_eq!(message.content, "Hello, world!");
    /// ```
    pub fn new(
        message_id: impl Into<MessageId>,
        session_id: SessionId,
        sequence_number: i64,
        content: impl Into<String>,
    ) -> Self {
        Self { message_id: message_id.into(), session_id, sequence_number, content: content.into() }
    }

    /// Checks the fields. Needs neither a key nor a disk.
    ///
    /// # Errors
    /// [`InvalidMessage`], which names the field and says what to do.
    pub fn check(&self, max_message_bytes: usize) -> Result<(), InvalidMessage> {
        check_id("message_id", self.message_id.as_str())?;
        self.session_id.check()?;
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
    /// The session's id is not a uuid in the server's spelling.
    #[error(transparent)]
    NotAUuid(#[from] NotAUuid),
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
        let good = "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03";
        let not_a_uuid = |id: &str| Err(InvalidMessage::NotAUuid(SessionId::from(id).check().unwrap_err()));
        let upper = good.to_uppercase();
        let table = [
            (request("m", good, 0, ""), Ok(())),
            (request("m", good, i64::MAX, "\0 \u{1F600}"), Ok(())),
            (request("", good, 0, ""), Err(InvalidMessage::EmptyId { field: "message_id" })),
            (request("m\0", good, 0, ""), Err(InvalidMessage::ControlInId { field: "message_id" })),
            (
                request(&long, good, 0, ""),
                Err(InvalidMessage::LongId { field: "message_id", bytes: MAX_ID_BYTES + 1 }),
            ),
            (request("m", "", 0, ""), not_a_uuid("")),
            (request("m", "chat-1", 0, ""), not_a_uuid("chat-1")),
            (request("m", &upper, 0, ""), not_a_uuid(&upper)),
            (request("m", good, -1, ""), Err(InvalidMessage::NegativeSequenceNumber(-1))),
            (request("m", good, 0, "123456789"), Err(InvalidMessage::TooLarge { bytes: 9, limit: 8 })),
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
