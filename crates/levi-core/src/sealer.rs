//! From a request to a row: sealed under its session's key or, until that is known, wrapped under the
//! database key. No row leaves here in the clear.

use std::sync::Arc;

use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{MessageKey, SealError, SessionSecret};
use levi_outbox::{NewRow, Protection, Reason};
use levi_transport::rows::encode_message_row;
use levi_types::{MessageSyncRequest, SessionId, SessionStore, Wall};
use rand_core::CryptoRng;

use crate::error::EnqueueError;
use crate::secrets_cache::SecretsCache;

/// A message on its way to the disk.
#[derive(Debug)]
pub enum Message {
    /// Sealed by whoever handed it in.
    Sealed(NewRow),
    /// In the clear, in memory, until the daemon's store was asked for its session's key.
    Plain(MessageSyncRequest),
}

/// Seals messages, with the keys it can find. Clones share what they know.
#[derive(Clone)]
pub struct Sealer {
    cache: SecretsCache,
    store: Arc<dyn SessionStore>,
    database_key: Option<DatabaseKey>,
}

/// What was wrapped is no text: no key will ever change that.
pub(crate) const NOT_TEXT: &str = "not_text";

impl Sealer {
    /// Looks for session keys in `cache`, then in `store`; `database_key` wraps what has none yet.
    pub fn new(cache: SecretsCache, store: Arc<dyn SessionStore>, database_key: Option<DatabaseKey>) -> Self {
        Self { cache, store, database_key }
    }

    /// Whether a message of `session` can be kept at all. Without a database key that is for the daemon's store to say,
    /// and it is asked here, on the caller's thread, unless the session's key is in memory.
    pub(crate) fn can_seal(&self, session: &SessionId) -> bool {
        self.database_key.is_some() || self.key(session).is_ok()
    }

    pub(crate) fn database_key(&self) -> Option<&DatabaseKey> {
        self.database_key.as_ref()
    }

    /// Seals a message whose session's key is in memory, on the thread of whoever hands it in. Any other goes on as it
    /// is: the daemon's store is asked on Levi's own thread only.
    ///
    /// # Errors
    /// [`EnqueueError::Unsealable`] where the cipher refuses.
    pub fn hand_in(
        &self,
        request: MessageSyncRequest,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<Message, EnqueueError> {
        match self.cache.key(&request.session_id) {
            Some(key) => sealed(&key, &request, at, random).map(Message::Sealed),
            None => Ok(Message::Plain(request)),
        }
    }

    /// Makes a row of a message, wrapped at rest if its session's key is not known.
    ///
    /// # Errors
    /// [`EnqueueError::NoKey`] where neither key is there, [`EnqueueError::Unsealable`] where the cipher refuses.
    pub fn seal(
        &self,
        request: &MessageSyncRequest,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<NewRow, EnqueueError> {
        match self.key(&request.session_id) {
            Ok(key) => sealed(&key, request, at, random),
            Err(_) => Ok(row(request, self.wrapped(request, random)?, Protection::AtRest, at)),
        }
    }

    /// Exchanges a payload wrapped at rest for its sealed form.
    pub(crate) fn reseal(
        &self,
        key: &MessageKey,
        row: &NewRow,
        random: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, Reason> {
        let database_key = self.database_key.as_ref().ok_or_else(|| Reason {
            code: "no_database_key".into(),
            detail: "the message is wrapped under a database key that Levi was not given".into(),
        })?;
        let name = row_key(&row.session_id, row.sequence_number);
        let content = at_rest::open(database_key, slot(&name), &row.payload)
            .map_err(|error| Reason { code: "at_rest".into(), detail: error.to_string() })?;
        let content = std::str::from_utf8(&content)
            .map_err(|_| Reason { code: NOT_TEXT.into(), detail: "the content is not UTF-8".into() })?;
        encode(key, &row.session_id, row.sequence_number, content, random)
            .map_err(|error| Reason { code: "encryption".into(), detail: error.to_string() })
    }

    /// The session's key, from memory or from the daemon's store.
    pub(crate) fn key(&self, session: &SessionId) -> Result<MessageKey, Reason> {
        if let Some(key) = self.cache.key(session) {
            return Ok(key);
        }
        let secret = match self.store.session_secret(session) {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(missing("the session's secret is not on this device yet".into())),
            Err(error) => return Err(missing(error.to_string())),
        };
        // Exposed to be parsed; it goes on as a `SessionSecret`.
        let secret = SessionSecret::parse(secret.expose())
            .map_err(|error| Reason { code: "malformed_secret".into(), detail: error.to_string() })?;
        self.cache.remember(session.clone(), &secret);
        Ok(secret.message_key())
    }

    fn wrapped(
        &self,
        request: &MessageSyncRequest,
        random: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, EnqueueError> {
        let MessageSyncRequest { session_id, sequence_number, content, .. } = request;
        let no_key = || EnqueueError::NoKey { session_id: session_id.clone() };
        let database_key = self.database_key.as_ref().ok_or_else(no_key)?;
        let name = row_key(session_id, *sequence_number);
        Ok(at_rest::seal(database_key, slot(&name), content.as_bytes(), random)?)
    }
}

fn sealed(
    key: &MessageKey,
    request: &MessageSyncRequest,
    at: Wall,
    random: &mut dyn CryptoRng,
) -> Result<NewRow, EnqueueError> {
    let payload = encode(key, &request.session_id, request.sequence_number, &request.content, random)?;
    Ok(row(request, payload, Protection::Sealed, at))
}

fn row(request: &MessageSyncRequest, payload: Vec<u8>, protection: Protection, at: Wall) -> NewRow {
    NewRow {
        session_id: request.session_id.clone(),
        sequence_number: request.sequence_number,
        message_id: request.message_id.clone(),
        payload,
        protection,
        enqueued_at: at,
    }
}

/// The row as it is stored and sent.
fn encode(
    key: &MessageKey,
    session_id: &SessionId,
    sequence_number: i64,
    content: &str,
    random: &mut dyn CryptoRng,
) -> Result<Vec<u8>, SealError> {
    let sealed = message::seal(key, MessagePosition { session_id, sequence_number }, content, random)?;
    // Grown once, to its size: it lies in memory until it is on disk.
    let mut payload = Vec::new();
    encode_message_row(&mut payload, session_id, sequence_number, &sealed.ciphertext, &sealed.nonce);
    Ok(payload)
}

fn missing(detail: String) -> Reason {
    Reason { code: "missing_secret".into(), detail }
}

/// Unambiguous, for the number follows the last slash.
pub(crate) fn row_key(session: &SessionId, sequence_number: i64) -> String {
    format!("{session}/{sequence_number}")
}

pub(crate) fn slot(row_key: &str) -> Slot<'_> {
    Slot { table: "levi_outbox", row_key, column: "payload" }
}
