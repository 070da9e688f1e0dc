//! The keys that one read of a session tries: first what is in memory, then what the store has, then the envelope.

use std::sync::Arc;

use levi_crypto::{MessageKey, OpenError, SessionSecret};
use levi_types::{SessionId, UserId};

use super::{MessageError, ReadError};
use crate::opening::Opening;
use crate::reads::Reads;

/// The keys of one session during one read.
pub(super) struct Keyring<'a> {
    opening: &'a Opening,
    user: &'a UserId,
    session: &'a SessionId,
    keys: Vec<MessageKey>,
    asked_store: bool,
    fetched: bool,
    /// Why the present envelope could not be opened.
    refusal: Option<Arc<ReadError>>,
}

impl<'a> Keyring<'a> {
    /// The keys in memory.
    pub(super) fn new(opening: &'a Opening, user: &'a UserId, session: &'a SessionId) -> Self {
        let keys = opening.cache.reading_keys(user, session).into_iter();
        let keys = keys.filter(|reading| opening.may_read_with(&reading.source)).map(|reading| reading.key);
        let keys = keys.collect();
        Self { opening, user, session, keys, asked_store: false, fetched: false, refusal: None }
    }

    pub(super) fn keys(&self) -> &[MessageKey] {
        &self.keys
    }

    pub(super) fn first(&self) -> Option<MessageKey> {
        self.keys.first().cloned()
    }

    /// Makes sure that there is a key at all.
    pub(super) async fn fill(&mut self, reads: &Reads<'_>) -> Result<(), ReadError> {
        if self.keys.is_empty() {
            self.ask_store();
        }
        if self.keys.is_empty() {
            self.fetch(reads).await?;
        }
        Ok(())
    }

    /// Looks for keys that were not tried yet. Whether there are any.
    ///
    /// # Errors
    /// [`ReadError`] if the envelope cannot be asked for now: nobody can be accused then.
    pub(super) async fn more(&mut self, reads: &Reads<'_>) -> Result<bool, ReadError> {
        let before = self.keys.len();
        if !self.asked_store {
            self.ask_store();
        }
        if self.keys.len() == before && !self.fetched {
            match self.fetch(reads).await {
                Ok(_) => {}
                Err(error @ (ReadError::Supabase(_) | ReadError::Auth(_))) => return Err(error),
                Err(error) => self.refusal = Some(Arc::new(error)),
            }
        }
        Ok(self.keys.len() > before)
    }

    /// The session's secret in its present envelope.
    pub(super) async fn fetch(&mut self, reads: &Reads<'_>) -> Result<SessionSecret, ReadError> {
        self.fetched = true;
        let row = reads.secret(self.session, &self.opening.device.id).await?;
        let row = row.ok_or_else(|| no_envelope(self.opening, self.session))?;
        let secret = self.opening.open(reads, self.user, self.session, &row).await?;
        self.add(secret.message_key());
        Ok(secret)
    }

    /// The error of a row that no key opens. Where the present envelope could not be opened, that may be why.
    pub(super) fn explain(&self, error: MessageError) -> MessageError {
        match (&error, &self.refusal) {
            (MessageError::Open(OpenError::Forged), Some(refusal)) => {
                MessageError::NoSecret(Arc::clone(refusal))
            }
            _ => error,
        }
    }

    /// Adds what this device has without asking the server.
    pub(super) fn ask_store(&mut self) {
        self.asked_store = true;
        for (secret, source) in self.opening.stored(self.user, self.session) {
            self.opening.cache.remember_to_read(self.user, self.session.clone(), &secret, source);
            self.add(secret.message_key());
        }
    }

    fn add(&mut self, key: MessageKey) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }
}

pub(super) fn no_envelope(opening: &Opening, session: &SessionId) -> ReadError {
    ReadError::NoEnvelope { session_id: session.clone(), device_id: opening.device.id.clone() }
}
