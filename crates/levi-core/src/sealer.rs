//! From a request to a row: sealed under its session's key or, until that is known, under the database
//! key. No row leaves here in the clear.

use std::sync::{Arc, OnceLock};

use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{Author, MessageKey, SealError, SessionSecret, WRITER_BYTES, is_nonce_of};
use levi_outbox::{Encryption, LaneKey, NewRow, Reason};
use levi_transport::rows::encode_message_row;
use levi_types::{MessageId, MessageSyncRequest, SessionId, SessionStore, UserId, Wall};
use rand_core::CryptoRng;

use crate::error::EnqueueError;
use crate::secrets_cache::SecretsCache;
use crate::waiting::MISSING_SECRET;

/// A message on its way to the disk.
#[derive(Debug)]
pub enum Message {
    /// Sealed on the caller's thread.
    Sealed(NewRow),
    /// In the clear and in memory, until the engine thread has asked the daemon's store for its session's key.
    Plain {
        /// For whom it was enqueued.
        user: Option<UserId>,
        /// The message.
        request: MessageSyncRequest,
    },
}

/// Seals messages with the keys it can find. Clones share their cache.
#[derive(Clone)]
pub struct Sealer {
    cache: SecretsCache,
    store: Arc<dyn SessionStore>,
    database_key: Option<DatabaseKey>,
    /// The outbox's id, once that is open.
    writer: Arc<OnceLock<[u8; WRITER_BYTES]>>,
}

/// Why there is no key for a session.
#[derive(Debug)]
pub(crate) enum NoKey {
    /// Not yet.
    Wait(Reason),
    /// The session is this user's, and not the one's who asks.
    OtherUser(UserId),
}

impl NoKey {
    pub(crate) fn into_reason(self) -> Reason {
        match self {
            Self::Wait(reason) => reason,
            Self::OtherUser(owner) => {
                Reason { code: "other_user".into(), detail: format!("the session is user {owner}'s") }
            }
        }
    }
}

/// Why a message under the database key cannot be sealed under its session's key.
#[derive(Debug)]
pub(crate) enum ResealError {
    /// Not with the present database key.
    Wait(Reason),
    /// Never, whatever the keys.
    Never(Reason),
}

impl Sealer {
    /// Who is signed in, as far as this process knows.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.cache.user()
    }

    /// Looks for session keys in `cache`, then in `store`. Messages without one are sealed under
    /// `database_key`.
    pub fn new(cache: SecretsCache, store: Arc<dyn SessionStore>, database_key: Option<DatabaseKey>) -> Self {
        Self { cache, store, database_key, writer: Arc::default() }
    }

    /// Names the outbox for which messages are sealed. The first call decides, for clones too.
    pub(crate) fn write_as(&self, writer: [u8; WRITER_BYTES]) {
        let _ = self.writer.set(writer);
    }

    /// Whether a message of `session` can be stored. Without a database key this asks the daemon's store, on the
    /// caller's thread, unless the session's key is cached.
    pub(crate) fn can_seal(&self, session: &SessionId) -> bool {
        self.database_key.is_some() || self.key(self.cache.user().as_ref(), session).is_ok()
    }

    /// Whether `nonce` is of a text of this message that this outbox sealed under an earlier secret of its own store.
    /// Asks that store.
    pub(crate) fn sealed_before(
        &self,
        user: Option<&UserId>,
        position: MessagePosition<'_>,
        message_id: &MessageId,
        nonce: &[u8],
    ) -> bool {
        let (Some(user), Some(writer)) = (user, self.writer.get()) else { return false };
        let author = Author { writer, message_id: message_id.as_str() };
        // A store that cannot be read knows no earlier secret: the text then counts as another writer's, and stays.
        let earlier = self.store.received_secrets(user, position.session_id).unwrap_or_default();
        let own = earlier.iter().filter(|received| received.sender.is_none());
        // Exposed to be parsed into a secret again.
        let mut secrets = own.filter_map(|received| SessionSecret::parse(received.secret.expose()).ok());
        secrets.any(|secret| is_nonce_of(nonce, &secret.message_key(), position, author))
    }

    pub(crate) fn database_key(&self) -> Option<&DatabaseKey> {
        self.database_key.as_ref()
    }

    /// Seals a message on the caller's thread if its session's key is cached. Otherwise the message stays as it is,
    /// because the daemon's store is asked on the engine thread only.
    ///
    /// # Errors
    /// [`EnqueueError::Unsealable`] if the cipher refuses.
    pub fn prepare(
        &self,
        request: MessageSyncRequest,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<Message, EnqueueError> {
        let (user, key) = self.cache.user_and_key(&request.session_id);
        match key {
            Some(key) => Ok(Message::Sealed(self.sealed(&key, &request, at, random)?.for_user(user))),
            None => Ok(Message::Plain { user, request }),
        }
    }

    /// Makes a row of a message of `user`, under the database key if its session's key is not known.
    ///
    /// # Errors
    /// [`EnqueueError::OtherUser`] if the session is another user's, [`EnqueueError::NoKey`] if neither key is known, [`EnqueueError::Unsealable`] if the cipher refuses.
    pub fn seal(
        &self,
        request: &MessageSyncRequest,
        user: Option<UserId>,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<NewRow, EnqueueError> {
        let row = match self.key(user.as_ref(), &request.session_id) {
            Ok(key) => self.sealed(&key, request, at, random)?,
            Err(NoKey::OtherUser(owner)) => {
                let lane = LaneKey::Messages(request.session_id.clone());
                return Err(EnqueueError::OtherUser { lane, user_id: Some(owner) });
            }
            Err(NoKey::Wait(_)) => {
                let payload = self.under_database_key(request, random)?;
                row(request, payload, Encryption::DatabaseKey, at)
            }
        };
        Ok(row.for_user(user))
    }

    /// Exchanges a payload under the database key for one under the session's key.
    pub(crate) fn reseal(
        &self,
        key: &MessageKey,
        row: &NewRow,
        random: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, ResealError> {
        let wait = |code: &str, detail: String| ResealError::Wait(Reason { code: code.into(), detail });
        let Some(database_key) = &self.database_key else {
            return Err(wait("no_database_key", "Levi was not given the message's database key".into()));
        };
        let Some(session_id) = row.lane.session_id() else {
            return Err(never("the row is no message"));
        };
        let name = row_key(session_id, row.sequence_number);
        let content = at_rest::open(database_key, slot(&name), &row.payload)
            .map_err(|error| wait("at_rest", error.to_string()))?;
        let content = std::str::from_utf8(&content).map_err(|_| never("the content is not UTF-8"))?;
        let position = MessagePosition { session_id, sequence_number: row.sequence_number };
        self.encode(key, position, row.message_id.as_str(), content, random)
            .map_err(|error| wait("encryption", error.to_string()))
    }

    /// The key of a session of `user`, from the cache or from the daemon's store.
    pub(crate) fn key(&self, user: Option<&UserId>, session: &SessionId) -> Result<MessageKey, NoKey> {
        if let Some(key) = self.cache.key_of(user, session) {
            return Ok(key);
        }
        match self.store.session_user(session) {
            Ok(Some(owner)) if user.is_some_and(|user| *user != owner) => {
                return Err(NoKey::OtherUser(owner));
            }
            Ok(_) => {}
            Err(error) => return Err(missing(error.to_string())),
        }
        let secret = match self.store.session_secret(session) {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(missing("the session's secret is not on this device yet".into())),
            Err(error) => return Err(missing(error.to_string())),
        };
        // Exposed to be parsed; it goes on as a `SessionSecret`.
        let secret = SessionSecret::parse(secret.expose()).map_err(|error| {
            NoKey::Wait(Reason { code: "malformed_secret".into(), detail: error.to_string() })
        })?;
        self.cache.remember_of(user, session.clone(), &secret);
        Ok(secret.message_key())
    }

    fn sealed(
        &self,
        key: &MessageKey,
        request: &MessageSyncRequest,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<NewRow, EnqueueError> {
        let MessageSyncRequest { session_id, sequence_number, message_id, content } = request;
        let position = MessagePosition { session_id, sequence_number: *sequence_number };
        let payload = self.encode(key, position, message_id.as_str(), content, random)?;
        Ok(row(request, payload, Encryption::SessionKey, at))
    }

    /// The row as it is stored and sent.
    fn encode(
        &self,
        key: &MessageKey,
        position: MessagePosition<'_>,
        message_id: &str,
        content: &str,
        random: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        let sealed = match self.writer.get() {
            Some(writer) => message::seal_as(key, position, content, Author { writer, message_id })?,
            None => message::seal(key, position, content, random)?,
        };
        let MessagePosition { session_id, sequence_number } = position;
        // Allocated once, at its size: it stays in memory until it is on disk.
        let mut payload = Vec::new();
        encode_message_row(&mut payload, session_id, sequence_number, &sealed.ciphertext, &sealed.nonce);
        Ok(payload)
    }

    fn under_database_key(
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

fn row(request: &MessageSyncRequest, payload: Vec<u8>, encryption: Encryption, at: Wall) -> NewRow {
    let MessageSyncRequest { session_id, sequence_number, message_id, .. } = request;
    NewRow::message(session_id.clone(), *sequence_number, message_id.clone(), payload, encryption, at)
}

fn missing(detail: String) -> NoKey {
    NoKey::Wait(Reason { code: MISSING_SECRET.into(), detail })
}

fn never(detail: &str) -> ResealError {
    ResealError::Never(Reason { code: "not_text".into(), detail: detail.into() })
}

/// Unambiguous, because the number follows the last slash.
pub(crate) fn row_key(session: &SessionId, sequence_number: i64) -> String {
    format!("{session}/{sequence_number}")
}

pub(crate) fn slot(row_key: &str) -> Slot<'_> {
    Slot { table: "levi_outbox", row_key, column: "payload" }
}
