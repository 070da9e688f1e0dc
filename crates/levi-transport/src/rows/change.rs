use levi_types::{RepositoryId, SessionId};
use serde::Deserialize;

use super::Base64Column;
use super::message::{MessageRow, bigint, null_as_empty};

/// A row of the change feed: a message, and the number of its last change.
///
/// As in a [`MessageRow`], a damaged column is kept as received, so that only opening that row
/// fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChangeRow {
    /// Rises with every change of any message of the user.
    #[serde(deserialize_with = "bigint")]
    pub change_id: i64,
    /// The message's session.
    pub session_id: SessionId,
    /// Position in the session.
    #[serde(deserialize_with = "bigint")]
    pub sequence_number: i64,
    /// Ciphertext and tag; empty if the server has NULL.
    #[serde(default)]
    pub content_encrypted: Base64Column,
    /// The nonce as stored; empty if the server has NULL.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub content_nonce: String,
}

impl ChangeRow {
    /// The message.
    pub fn into_message(self) -> MessageRow {
        MessageRow {
            session_id: Some(self.session_id),
            sequence_number: self.sequence_number,
            content_encrypted: self.content_encrypted,
            content_nonce: self.content_nonce,
        }
    }
}

/// The number of a change alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ChangeNumber {
    #[serde(deserialize_with = "bigint")]
    pub(crate) change_id: i64,
}

/// A repository and its name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NamedRepository {
    /// The id.
    pub id: RepositoryId,
    /// The name shown to people.
    pub name: String,
}
