//! Messages of 1 KiB, sessions with known secrets, and outboxes with a backlog.

use std::path::Path;
use std::sync::Arc;

use levi::types::{SecretString, StoreError};
use levi::{CodingSession, Repository, RepositoryId, SessionId, SessionStore};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{MessageKey, SessionSecret};
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{Encryption, LaneKey, NewRow, OutboxStore};
use levi_testkit::fixtures::uuid_of;
use levi_transport::rows::encode_message_row;
use levi_types::{DeliveryReport, MessageSyncRequest, Wall};

use crate::Fallible;

/// Bytes of plaintext in a message.
pub(crate) const MESSAGE_BYTES: usize = 1024;

/// `sess_` and base64url of 32 zero bytes.
const SECRET: &str = "sess_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A store that has the same secret for every session and discards reports.
#[derive(Debug)]
pub(crate) struct Secrets;

impl SessionStore for Secrets {
    fn session_secret(&self, _: &SessionId) -> Result<Option<SecretString>, StoreError> {
        Ok(Some(SecretString::new(SECRET.to_owned())))
    }

    fn repository(&self, _: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        Ok(None)
    }

    fn session(&self, _: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        Ok(None)
    }

    fn record(&self, _: &[DeliveryReport]) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) fn secret() -> Fallible<SessionSecret> {
    Ok(SessionSecret::parse(SECRET)?)
}

pub(crate) fn message_key() -> Fallible<MessageKey> {
    Ok(secret()?.message_key())
}

pub(crate) fn session(number: usize) -> SessionId {
    uuid_of("session", &number.to_string()).as_str().into()
}

/// The text of one message.
pub(crate) fn content() -> String {
    "The agent edited src/main.rs and ran the tests; all of them passed. "
        .chars()
        .cycle()
        .take(MESSAGE_BYTES)
        .collect()
}

pub(crate) fn request(session: &SessionId, sequence_number: i64, content: &str) -> MessageSyncRequest {
    MessageSyncRequest {
        message_id: message_id(sequence_number).as_str().into(),
        session_id: session.clone(),
        sequence_number,
        content: content.to_owned(),
    }
}

/// A message id with the length of a uuid.
pub(crate) fn message_id(sequence_number: i64) -> String {
    format!("00000000-0000-7000-8000-{sequence_number:012}")
}

/// A sealed row as Levi stores it.
pub(crate) fn sealed_row(key: &MessageKey, session: &SessionId, sequence_number: i64) -> Fallible<NewRow> {
    let place = MessagePosition { session_id: session, sequence_number };
    let sealed = message::seal(key, place, &content(), &mut rand::rng())?;
    let mut payload = Vec::new();
    encode_message_row(&mut payload, session, sequence_number, &sealed.ciphertext, &sealed.nonce);
    let message_id = message_id(sequence_number).as_str().into();
    let at = Wall::from_millis(1_700_000_000_000);
    Ok(NewRow::message(session.clone(), sequence_number, message_id, payload, Encryption::SessionKey, at))
}

/// Options with room for ten million rows.
pub(crate) fn options(synchronous: Synchronous) -> SqliteOptions {
    SqliteOptions { synchronous, max_pending_bytes: 1 << 36, ..SqliteOptions::default() }
}

/// Writes an outbox with `rows` pending rows in `sessions` sessions. It fills `at_once` sessions, interleaved, and then the
/// next ones. All rows carry one ciphertext, because nothing decrypts them.
pub(crate) fn backlog(path: &Path, rows: usize, sessions: usize, at_once: usize) -> Fallible<()> {
    let mut store = SqliteOutbox::open(path, options(Synchronous::Normal))?;
    let key = message_key()?;
    let ids: Vec<SessionId> = (0..sessions).map(session).collect();
    let template = sealed_row(&key, &ids[0], 0)?;
    let tail = template.payload.len() - payload_tail(&template.payload);
    let mut batch = Vec::with_capacity(1000);
    let rows_each = rows / sessions;
    if rows_each * sessions != rows || !sessions.is_multiple_of(at_once) {
        return Err(format!("{rows} rows do not divide into {sessions} sessions, {at_once} at once").into());
    }
    for number in 0..rows {
        let (group, own) = (number / (at_once * rows_each), number % (at_once * rows_each));
        let id = &ids[group * at_once + own % at_once];
        let sequence_number = (own / at_once) as i64;
        let mut payload =
            format!(r#"{{"session_id":"{id}","sequence_number":{sequence_number}"#).into_bytes();
        payload.extend_from_slice(&template.payload[tail..]);
        let message_id = message_id(sequence_number).as_str().into();
        batch.push(NewRow {
            lane: LaneKey::Messages(id.clone()),
            sequence_number,
            message_id,
            payload,
            ..template.clone()
        });
        if batch.len() == 1000 {
            store.commit(&[], &batch)?;
            batch.clear();
        }
    }
    store.commit(&[], &batch)?;
    Ok(())
}

/// The length of the part of a payload that follows its sequence number.
fn payload_tail(payload: &[u8]) -> usize {
    let name = br#","content_encrypted""#;
    let at = payload.windows(name.len()).position(|window| window == name).unwrap_or_default();
    payload.len() - at
}

/// Copies a closed outbox into a folder where a Levi looks for it.
pub(crate) fn copy_outbox(template: &Path, folder: &Path) -> Fallible<()> {
    let copy = folder.join("outbox.sqlite");
    std::fs::copy(template, &copy)?;
    // Without this the first sync in the copy would write the whole file.
    Ok(std::fs::File::open(copy)?.sync_all()?)
}

pub(crate) fn secrets() -> Arc<dyn SessionStore> {
    Arc::new(Secrets)
}
