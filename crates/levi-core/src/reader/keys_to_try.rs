//! The keys that one read of a session tries: first what is in memory, then what the store has, then the envelope.

use std::sync::Arc;

use levi_crypto::message_v2::{Epoch, EpochMessageKey, EpochSecret, Order};
use levi_crypto::{MessageKey, OpenError, SessionSecret};
use levi_types::{EpochStart, SessionId, UserId};

use super::epochs::Epochs;
use super::{MessageError, ReadError};
use crate::device_list::SignedDeviceList;
use crate::opening::Opening;
use crate::reads::Reads;

/// The keys of one session during one read.
pub(super) struct KeysToTry<'a> {
    opening: &'a Opening,
    user: &'a UserId,
    session: &'a SessionId,
    keys: Vec<MessageKey>,
    asked_store: bool,
    fetched: bool,
    /// Where the session's epochs begin. Empty without a signed device list.
    epochs: Epochs,
    derived: Option<Derived>,
    /// Why the present envelope could not be opened.
    refusal: Option<Arc<ReadError>>,
}

/// The session's keys in the epoch that was read last.
struct Derived {
    epoch: Epoch,
    /// How many of the session's keys they are of: more may be found during the read.
    of: usize,
    keys: Arc<[EpochMessageKey]>,
}

impl<'a> KeysToTry<'a> {
    /// The keys in memory.
    pub(super) fn new(opening: &'a Opening, user: &'a UserId, session: &'a SessionId) -> Self {
        let keys = opening.cache.reading_keys(user, session).into_iter();
        let keys =
            keys.filter(|reading| opening.may_read_with(user, &reading.source)).map(|reading| reading.key);
        let keys = keys.collect();
        let starts = listed(opening, user).map(|list| list.epoch_starts(user, session));
        let epochs = Epochs::new(starts.unwrap_or_default());
        let (asked_store, fetched, derived, refusal) = Default::default();
        Self { opening, user, session, keys, asked_store, fetched, epochs, derived, refusal }
    }

    /// The session's keys in an epoch of the user's device list. They are derived once for the rows of one epoch.
    pub(super) fn epoch_keys(&mut self, epoch: Epoch) -> Result<Arc<[EpochMessageKey]>, MessageError> {
        let is_known = |derived: &&Derived| derived.epoch == epoch && derived.of == self.keys.len();
        if let Some(derived) = self.derived.as_ref().filter(is_known) {
            return Ok(Arc::clone(&derived.keys));
        }
        let secret = self.epoch_secret(epoch)?;
        // Nothing can have been sealed for a session whose id is too long for a key.
        let derive = |key| EpochMessageKey::of(key, self.session, epoch, &secret).ok();
        let keys: Arc<[EpochMessageKey]> = self.keys.iter().filter_map(derive).collect();
        self.derived = Some(Derived { epoch, of: self.keys.len(), keys: Arc::clone(&keys) });
        Ok(keys)
    }

    fn epoch_secret(&self, epoch: Epoch) -> Result<EpochSecret, MessageError> {
        let list = listed(self.opening, self.user).ok_or(MessageError::NotOnList)?;
        list.epoch_secret(self.user, epoch).ok_or(MessageError::UnknownEpoch { epoch })
    }

    /// Asks the server for new entries of the device list, at most once a read. Returns whether it asked.
    ///
    /// # Errors
    /// [`ReadError`] if the server cannot be asked now.
    pub(super) async fn look_at_list(&self, reads: &Reads<'_>) -> Result<bool, ReadError> {
        self.opening.look_at_list(reads, self.user).await
    }

    /// A newer epoch than `epoch` that began before this message.
    pub(super) fn newer_epoch(&self, epoch: u32, sequence_number: i64) -> Option<EpochStart> {
        self.epochs.newer(epoch, sequence_number)
    }

    /// A message opened: remembers the start of its epoch.
    pub(super) fn opened(&mut self, epoch: u32, sequence_number: i64, order: Order) {
        let Some(list) = listed(self.opening, self.user) else { return };
        if !list.is_an_epoch(self.user, epoch) {
            return;
        }
        if let Some(start) = self.epochs.opened(epoch, sequence_number, order) {
            list.keep_epoch_start(self.user, self.session, start);
        }
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

    /// Looks for keys that were not tried yet. Returns whether there are any.
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

/// The signed device list, if the user has one.
fn listed<'a>(opening: &'a Opening, user: &UserId) -> Option<&'a SignedDeviceList> {
    opening.device_list.as_ref().filter(|list| list.list(user).is_some())
}

pub(super) fn no_envelope(opening: &Opening, session: &SessionId) -> ReadError {
    ReadError::NoEnvelope { session_id: session.clone(), device_id: opening.device.id.clone() }
}
