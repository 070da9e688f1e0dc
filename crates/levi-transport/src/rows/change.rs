use std::sync::Arc;

use levi_types::{RepositoryId, SessionId};
use serde::Deserialize;

use super::base64_column::Found;
use super::message::{MessageRow, bigint, null_as_empty};
use super::{Base64Column, decode_rows};
use crate::api_error::ApiError;

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

/// A [`ChangeRow`] as a parser finds it.
#[derive(Deserialize)]
struct FoundRow<'a> {
    #[serde(deserialize_with = "bigint")]
    change_id: i64,
    session_id: SessionId,
    #[serde(deserialize_with = "bigint")]
    sequence_number: i64,
    #[serde(borrow, default)]
    content_encrypted: Found<'a>,
    #[serde(default, deserialize_with = "null_as_empty")]
    content_nonce: String,
}

impl ChangeRow {
    /// The rows in the body of a select. The ciphertexts stay in it, and are decoded when they are
    /// asked for.
    ///
    /// # Errors
    /// As for [`decode_rows`].
    pub fn decode(body: Vec<u8>) -> Result<Vec<Self>, ApiError> {
        let body = Arc::new(body);
        let found: Vec<FoundRow<'_>> = decode_rows(&body)?;
        let rows = found.into_iter().map(|row| Self {
            change_id: row.change_id,
            session_id: row.session_id,
            sequence_number: row.sequence_number,
            content_encrypted: row.content_encrypted.in_body(&body),
            content_nonce: row.content_nonce,
        });
        Ok(rows.collect())
    }

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

/// Which message a change is of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ChangePlace {
    /// The number of the message's last change.
    #[serde(deserialize_with = "bigint")]
    pub change_id: i64,
    /// The message's session.
    pub session_id: SessionId,
    /// Position in the session.
    #[serde(deserialize_with = "bigint")]
    pub sequence_number: i64,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a column holds, and however it is written.
    #[test]
    fn the_rows_of_a_body_are_those_that_are_read_one_by_one() {
        let columns = [r#""YQ==""#, r#""\u0059Q==""#, r#""YQ""#, r#""""#, "null", r#""é\n""#];
        let rows = columns.map(|column| {
            format!(
                r#"{{"change_id":"7","session_id":"s","sequence_number":1,"content_encrypted":{column},"content_nonce":"n"}}"#
            )
        });
        let without = r#"{"change_id":7,"session_id":"s","sequence_number":1}"#.to_owned();
        let all = [&rows[..], &[without]].concat();
        let body = format!("[{}]", all.join(","));
        let decoded = ChangeRow::decode(body.clone().into_bytes()).unwrap();
        assert_eq!(decoded, decode_rows::<ChangeRow>(body.as_bytes()).unwrap());
        let bytes: Vec<_> =
            decoded.iter().map(|row| row.content_encrypted.bytes().map(|bytes| bytes.into_owned())).collect();
        let a = Some(b"a".to_vec());
        assert_eq!(bytes, [a.clone(), a, None, Some(Vec::new()), Some(Vec::new()), None, Some(Vec::new())]);
        assert_eq!(decoded[5].content_encrypted.text(), "é\n");
        let message = decoded[0].clone().into_message();
        drop(decoded);
        assert_eq!(message.ciphertext().as_deref(), Ok(&b"a"[..]), "it keeps the body");
    }
}
