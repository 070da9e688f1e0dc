use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use levi_types::SessionId;
use serde::{Deserialize, Deserializer, de};

use super::Base64Column;
use crate::supabase::Upsert;
use crate::table::Table;

/// Appends one message row to `out` as a JSON object: what [`MessageBatch::push`] takes.
///
/// Ciphertext and nonce become base64 (RFC 4648, standard alphabet, padded); the sequence number is
/// written as an integer, exact over the whole of `i64`. Allocates only if `out` has to grow.
///
/// ```
/// use levi_transport::rows::encode_message_row;
///
/// let mut row = Vec::new();
/// encode_message_row(&mut row, &"s".into(), 7, b"sealed", b"nonce");
/// assert_eq!(
///     String::from_utf8(row)?,
///     r#"{"session_id":"s","sequence_number":7,"content_encrypted":"c2VhbGVk","content_nonce":"bm9uY2U="}"#
/// );
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
pub fn encode_message_row(
    out: &mut Vec<u8>,
    session_id: &SessionId,
    sequence_number: i64,
    ciphertext: &[u8],
    nonce: &[u8],
) {
    let base64 = base64_simd::STANDARD;
    let nonce_length = base64.encoded_length(nonce.len());
    encode_row(out, session_id, sequence_number, ciphertext, nonce_length);
    base64.encode_append(nonce, out);
    out.extend_from_slice(br#""}"#);
}

/// As [`encode_message_row`], with the text of the column `content_nonce`, which must need no
/// escapes in JSON: that of version 2 has none.
///
/// ```
/// use levi_transport::rows::encode_message_row_as;
///
/// let mut row = Vec::new();
/// encode_message_row_as(&mut row, &"s".into(), 7, b"sealed", "v2:1:bm9uY2U=");
/// assert_eq!(
///     String::from_utf8(row)?,
///     r#"{"session_id":"s","sequence_number":7,"content_encrypted":"c2VhbGVk","content_nonce":"v2:1:bm9uY2U="}"#
/// );
/// # Ok::<(), std::string::FromUtf8Error>(())
/// ```
pub fn encode_message_row_as(
    out: &mut Vec<u8>,
    session_id: &SessionId,
    sequence_number: i64,
    ciphertext: &[u8],
    content_nonce: &str,
) {
    encode_row(out, session_id, sequence_number, ciphertext, content_nonce.len());
    out.extend_from_slice(content_nonce.as_bytes());
    out.extend_from_slice(br#""}"#);
}

/// The row up to its nonce.
fn encode_row(
    out: &mut Vec<u8>,
    session_id: &SessionId,
    sequence_number: i64,
    ciphertext: &[u8],
    nonce_length: usize,
) {
    let base64 = base64_simd::STANDARD;
    out.reserve(128 + session_id.as_str().len() + base64.encoded_length(ciphertext.len()) + nonce_length);
    out.extend_from_slice(br#"{"session_id":"#);
    write_prefix(out, session_id, sequence_number);
    out.extend_from_slice(br#","content_encrypted":""#);
    base64.encode_append(ciphertext, out);
    out.extend_from_slice(br#"","content_nonce":""#);
}

/// The session id as a JSON string, and the sequence number with its key.
#[expect(clippy::expect_used, reason = "writing text and numbers to a Vec cannot fail")]
fn write_prefix(out: &mut Vec<u8>, session_id: &SessionId, sequence_number: i64) {
    serde_json::to_writer(&mut *out, session_id.as_str()).expect("a Vec takes every write");
    write!(out, r#","sequence_number":{sequence_number}"#).expect("a Vec takes every write");
}

/// The body of one message upsert, concatenated from rows that are JSON already.
///
/// ```
/// use levi_transport::rows::{MessageBatch, encode_message_row};
///
/// let mut stored = Vec::new();
/// encode_message_row(&mut stored, &"s".into(), 1, b"sealed", b"nonce");
///
/// let mut batch = MessageBatch::new();
/// batch.push(&stored);
/// batch.push(&stored);
/// assert_eq!(batch.rows(), 2);
/// assert_eq!(batch.len(), 2 * stored.len() + "[,]".len());
/// assert_eq!(batch.into_upsert().body.len(), 2 * stored.len() + 3);
/// ```
#[derive(Default)]
pub struct MessageBatch {
    body: Vec<u8>,
    rows: usize,
}

impl MessageBatch {
    /// An empty batch.
    pub const fn new() -> Self {
        Self { body: Vec::new(), rows: 0 }
    }

    /// An empty batch whose body holds `bytes` bytes without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { body: Vec::with_capacity(bytes), rows: 0 }
    }

    /// Appends one row, as [`encode_message_row`] wrote it. It is not parsed or checked.
    pub fn push(&mut self, row: &[u8]) {
        self.body.push(if self.rows == 0 { b'[' } else { b',' });
        self.body.extend_from_slice(row);
        self.rows += 1;
    }

    /// Rows so far.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the finished body.
    pub const fn len(&self) -> usize {
        if self.rows == 0 { 2 } else { self.body.len() + 1 }
    }

    /// Whether there is no row yet.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The finished upsert.
    pub fn into_upsert(mut self) -> Upsert {
        if self.rows == 0 {
            self.body.push(b'[');
        }
        self.body.push(b']');
        Upsert { table: Table::Messages, columns: Cow::Borrowed(Table::Messages.columns()), body: self.body }
    }
}

impl fmt::Debug for MessageBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBatch").field("rows", &self.rows).field("bytes", &self.len()).finish()
    }
}

/// A message row as read from the server.
///
/// Columns that another writer left out or filled with something else are kept as received, so that
/// one bad row does not make its page unreadable: only opening that row fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MessageRow {
    /// The session, if the query selected it.
    #[serde(default)]
    pub session_id: Option<SessionId>,
    /// Position in the session. Exact over the whole of `i64`, whether the server writes a number
    /// or, as some do for `bigint`, text.
    #[serde(deserialize_with = "bigint")]
    pub sequence_number: i64,
    /// Ciphertext and tag; empty if the server has NULL.
    #[serde(default)]
    pub content_encrypted: Base64Column,
    /// base64 of the nonce; empty if the server has NULL.
    #[serde(default, deserialize_with = "null_as_empty")]
    pub content_nonce: String,
}

/// The session and sequence number of a message, by which the server names the rows that it
/// inserted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct MessagePlace {
    /// The session.
    pub session_id: SessionId,
    /// Position in the session.
    #[serde(deserialize_with = "bigint")]
    pub sequence_number: i64,
}

/// The nonce of a row that [`encode_message_row`] wrote, in base64. It names the sealed text:
/// another text has another nonce.
pub fn nonce_of(row: &[u8]) -> Option<&str> {
    let (rest, nonce) = std::str::from_utf8(row).ok()?.strip_suffix("\"}")?.rsplit_once('"')?;
    rest.ends_with(r#""content_nonce":"#).then_some(nonce)
}

/// A column that should hold base64 (RFC 4648, standard alphabet, padded) and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column} is not padded base64; the row is damaged or was not written by Levi")]
pub struct NotBase64 {
    /// The column's name.
    pub column: &'static str,
}

impl MessageRow {
    /// Ciphertext and tag.
    ///
    /// # Errors
    /// [`NotBase64`].
    pub fn ciphertext(&self) -> Result<Cow<'_, [u8]>, NotBase64> {
        self.content_encrypted.bytes().ok_or(NotBase64 { column: "content_encrypted" })
    }

    /// The nonce; its length is not checked here.
    ///
    /// # Errors
    /// [`NotBase64`].
    pub fn nonce(&self) -> Result<Vec<u8>, NotBase64> {
        decode("content_nonce", &self.content_nonce)
    }
}

fn decode(column: &'static str, text: &str) -> Result<Vec<u8>, NotBase64> {
    base64_simd::STANDARD.decode_to_vec(text).map_err(|_| NotBase64 { column })
}

pub(super) fn null_as_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

pub(super) fn bigint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Bigint;

    impl de::Visitor<'_> for Bigint {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a bigint")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom("a bigint out of range"))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(|_| E::custom("text that is not a bigint"))
        }
    }

    deserializer.deserialize_any(Bigint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::decode_rows;

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            rows in prop::collection::vec((".*", any::<i64>(), any::<Vec<u8>>(), any::<[u8; 24]>()), 0..5),
        ) {
            let mut batch = MessageBatch::new();
            for (session, sequence_number, ciphertext, nonce) in &rows {
                let mut row = Vec::new();
                encode_message_row(&mut row, &session.as_str().into(), *sequence_number, ciphertext, nonce);
                batch.push(&row);
            }
            let (count, bytes) = (batch.rows(), batch.len());
            let upsert = batch.into_upsert();
            prop_assert_eq!((count, bytes), (rows.len(), upsert.body.len()));

            let read: Vec<MessageRow> = decode_rows(&upsert.body).unwrap();
            prop_assert_eq!(read.len(), rows.len());
            for (row, read) in rows.iter().zip(&read) {
                let mut encoded = Vec::new();
                encode_message_row(&mut encoded, &row.0.as_str().into(), row.1, &row.2, &row.3);
                prop_assert_eq!(nonce_of(&encoded), Some(read.content_nonce.as_str()));
            }
            for (read, (session, sequence_number, ciphertext, nonce)) in read.iter().zip(&rows) {
                prop_assert_eq!(read.session_id.as_ref().unwrap().as_str(), session);
                prop_assert_eq!(read.sequence_number, *sequence_number);
                prop_assert_eq!(&*read.ciphertext().unwrap(), ciphertext.as_slice());
                prop_assert_eq!(read.nonce().unwrap(), nonce);
            }
        }
    }

    #[test]
    fn bigints_past_two_to_the_53_survive_as_numbers_and_as_text() {
        let body = br#"[{"sequence_number":9007199254740993,"content_encrypted":"","content_nonce":""},
                        {"sequence_number":"9223372036854775807","content_encrypted":"","content_nonce":""}]"#;
        let read: Vec<MessageRow> = decode_rows(body).unwrap();
        assert_eq!(read[0].sequence_number, 9_007_199_254_740_993);
        assert_eq!(read[1].sequence_number, i64::MAX);
    }

    #[test]
    fn a_damaged_row_leaves_its_page_readable() {
        let body = b"[{\"sequence_number\":1,\"content_encrypted\":null,\"content_nonce\":\"!\"},
                     {\"sequence_number\":2,\"content_encrypted\":\"YQ==\",\"content_nonce\":\"YQ\"},
                     {\"sequence_number\":3,\"content_encrypted\":\"\xff\x01\\ud800\",\"content_nonce\":\"\"},
                     {\"sequence_number\":4,\"content_encrypted\":\"\\u0059Q==\",\"content_nonce\":\"\"}]";
        let read: Vec<MessageRow> = decode_rows(body).unwrap();
        assert_eq!(read[0].ciphertext().as_deref(), Ok(&[][..]));
        assert_eq!(read[0].nonce(), Err(NotBase64 { column: "content_nonce" }));
        assert_eq!(read[1].ciphertext().as_deref(), Ok(&b"a"[..]));
        assert_eq!(read[1].nonce(), Err(NotBase64 { column: "content_nonce" }), "padding is required");
        assert_eq!(read[2].ciphertext(), Err(NotBase64 { column: "content_encrypted" }));
        assert_eq!(read[3].ciphertext().as_deref(), Ok(&b"a"[..]), "an escape is still base64");
        for other in ["7", "[1]", "{}", "true"] {
            let body = format!(r#"[{{"sequence_number":1,"content_encrypted":{other}}}]"#);
            assert_eq!(decode_rows::<MessageRow>(body.as_bytes()).unwrap_err().code, "bad_response");
        }
    }
}
