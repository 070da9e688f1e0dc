//! From a request to a row: sealed under its session's key or, until that is known, wrapped under the
//! database key. Nothing leaves here in the clear.

use std::sync::Arc;

use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::message::{self, Place};
use levi_crypto::{MessageKey, SessionSecret};
use levi_outbox::{NewRow, Protection, Reason};
use levi_transport::rows::encode_message_row;
use levi_types::{MessageSyncRequest, SessionId, SessionStore, Wall};
use rand_core::CryptoRng;

use crate::secrets_cache::SecretsCache;

/// Seals messages, with the keys it can find.
pub(crate) struct Sealer {
    pub(crate) cache: SecretsCache,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) database_key: Option<DatabaseKey>,
    pub(crate) random: Box<dyn CryptoRng + Send>,
}

/// What was wrapped is no text: no key will ever change that.
pub(super) const NOT_TEXT: &str = "not_text";

/// Why a message could not be made into a row.
#[derive(Debug)]
pub(crate) enum Unsealed {
    /// Neither key is there.
    NoKey,
    /// The cipher refused.
    Failed(Reason),
}

impl Sealer {
    /// Makes a row of a message, wrapped at rest if its session's key is not known.
    pub(crate) fn seal(&mut self, request: &MessageSyncRequest, at: Wall) -> Result<NewRow, Unsealed> {
        let (payload, protection) = match self.key(&request.session_id) {
            Ok(key) => (self.sealed(&key, request)?, Protection::Sealed),
            Err(_) => (self.wrapped(request)?, Protection::AtRest),
        };
        Ok(NewRow {
            session_id: request.session_id.clone(),
            sequence_number: request.sequence_number,
            message_id: request.message_id.clone(),
            payload,
            protection,
            enqueued_at: at,
        })
    }

    /// Exchanges a payload wrapped at rest for its sealed form.
    pub(crate) fn reseal(&mut self, key: &MessageKey, row: &NewRow) -> Result<Vec<u8>, Reason> {
        let database_key = self.database_key.as_ref().ok_or_else(|| Reason {
            code: "no_database_key".into(),
            detail: "the message is wrapped under a database key that Levi was not given".into(),
        })?;
        let name = row_key(&row.session_id, row.sequence_number);
        let content = at_rest::unwrap(database_key, slot(&name), &row.payload)
            .map_err(|error| Reason { code: "at_rest".into(), detail: error.to_string() })?;
        let content = std::str::from_utf8(&content)
            .map_err(|_| Reason { code: NOT_TEXT.into(), detail: "the content is not UTF-8".into() })?;
        self.encode(key, &row.session_id, row.sequence_number, content)
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

    fn sealed(&mut self, key: &MessageKey, request: &MessageSyncRequest) -> Result<Vec<u8>, Unsealed> {
        self.encode(key, &request.session_id, request.sequence_number, &request.content)
            .map_err(Unsealed::Failed)
    }

    fn encode(
        &mut self,
        key: &MessageKey,
        session_id: &SessionId,
        sequence_number: i64,
        content: &str,
    ) -> Result<Vec<u8>, Reason> {
        let place = Place { session_id, sequence_number };
        let sealed = message::seal(key, place, content, &mut *self.random)
            .map_err(|error| Reason { code: "encryption".into(), detail: error.to_string() })?;
        // Grown once, to its size: it lies in memory until it is on disk.
        let mut payload = Vec::new();
        encode_message_row(&mut payload, session_id, sequence_number, &sealed.ciphertext, &sealed.nonce);
        Ok(payload)
    }

    fn wrapped(&mut self, request: &MessageSyncRequest) -> Result<Vec<u8>, Unsealed> {
        let database_key = self.database_key.as_ref().ok_or(Unsealed::NoKey)?;
        let name = row_key(&request.session_id, request.sequence_number);
        at_rest::wrap(database_key, slot(&name), request.content.as_bytes(), &mut *self.random).map_err(
            |error| Unsealed::Failed(Reason { code: "encryption".into(), detail: error.to_string() }),
        )
    }
}

fn missing(detail: String) -> Reason {
    Reason { code: "missing_secret".into(), detail }
}

/// Unambiguous, for the number follows the last slash.
pub(super) fn row_key(session: &SessionId, sequence_number: i64) -> String {
    format!("{session}/{sequence_number}")
}

pub(super) fn slot(row_key: &str) -> Slot<'_> {
    Slot { table: "levi_outbox", row_key, column: "payload" }
}
