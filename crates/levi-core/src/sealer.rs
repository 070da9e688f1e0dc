//! From a request to a row: sealed under its session's key or, until that is known, under the database
//! key. No row leaves here in the clear.

mod earlier_secrets;
mod present_epoch;
mod resealed;

use std::sync::{Arc, OnceLock};

use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::message::MessagePosition;
use levi_crypto::message_v2::{Epoch, Order};
use levi_crypto::{Author, MessageKey, SealError, SessionSecret, WRITER_BYTES, is_nonce_of};
use levi_outbox::{Encryption, LaneKey, NewRow, Overwrite, Reason};
use levi_types::{MessageId, MessageSyncRequest, SessionId, SessionStore, StoreError, UserId, Wall};
use rand_core::CryptoRng;

use crate::device_list::SignedDeviceList;
use crate::error::EnqueueError;
use crate::sealing_key::{SealedRow, Sealing, SealingKey, SealingMode};
use crate::secrets_cache::{HighestKnown, SecretsCache};
use crate::waiting::MISSING_SECRET;

pub(crate) use self::present_epoch::PresentEpoch;
pub(crate) use self::resealed::Resealed;

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
    /// Says in which epoch messages are sealed.
    device_list: Option<SignedDeviceList>,
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
        Self { cache, store, database_key, device_list: None, writer: Arc::default() }
    }

    /// Seals as the user's signed device list says. It must have the same cache.
    #[must_use]
    pub fn with_device_list(mut self, list: Option<SignedDeviceList>) -> Self {
        self.device_list = list;
        self
    }

    /// The same sealer, which asks `store` instead.
    pub(crate) fn asking(&self, store: Arc<dyn SessionStore>) -> Self {
        Self { store, ..self.clone() }
    }

    /// What is known of the signed device list.
    pub(crate) fn device_list(&self) -> Option<&SignedDeviceList> {
        self.device_list.as_ref()
    }

    /// Names the outbox for which messages are sealed. The first call decides, for clones too.
    pub(crate) fn write_as(&self, writer: [u8; WRITER_BYTES]) {
        let _ = self.writer.set(writer);
    }

    /// Whether a message of `session` can be stored. Without a database key this asks the daemon's store, on the
    /// caller's thread, unless the session's key is cached.
    pub(crate) fn can_seal(&self, session: &SessionId) -> bool {
        self.database_key.is_some() || self.look_for_key(self.cache.user().as_ref(), session).is_ok()
    }

    /// Whether `nonce` is of a text of this message that this outbox sealed under an earlier secret of its own store.
    /// Asks that store, and fails where it does.
    pub(crate) fn sealed_before(
        &self,
        user: Option<&UserId>,
        position: MessagePosition<'_>,
        message_id: &MessageId,
        nonce: &[u8],
    ) -> Result<bool, StoreError> {
        let (Some(user), Some(writer)) = (user, self.writer.get()) else { return Ok(false) };
        let author = Author { writer, message_id: message_id.as_str() };
        let earlier = self.own_earlier(user, position.session_id)?;
        Ok(earlier.iter().any(|key| is_nonce_of(nonce, key, position, author)))
    }

    /// Whether nobody else could read what is sealed for `session` on this device.
    pub(crate) fn is_refused(&self, session: &SessionId) -> bool {
        self.cache.is_refused(session)
    }

    /// The keys of `session` that this device's own store had before the present one.
    fn own_earlier(&self, user: &UserId, session: &SessionId) -> Result<Vec<MessageKey>, StoreError> {
        let received = self.store.received_secrets(user, session)?;
        let own = received.iter().filter(|received| received.sender.is_none());
        // Exposed to be parsed into a secret again.
        let secrets = own.filter_map(|received| SessionSecret::parse(received.secret.expose()).ok());
        Ok(secrets.map(|secret| secret.message_key()).collect())
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
        overwrite: Overwrite,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<Message, EnqueueError> {
        let MessageSyncRequest { session_id, sequence_number, .. } = &request;
        let (user, sealing) = self.cache.user_and_sealing(session_id, *sequence_number, overwrite);
        match sealing {
            Some(sealing) => {
                let row = self.sealed(&sealing, &request, at, random)?;
                Ok(Message::Sealed(row.for_user(user)))
            }
            None => Ok(Message::Plain { user, request }),
        }
    }

    /// Whether sealing a message of `session` asks for what was sealed before.
    pub(crate) fn asks_for_earlier(&self, user: Option<&UserId>, session: &SessionId) -> bool {
        self.device_list.is_some() && self.look_for_key(user, session).is_ok()
    }

    /// Makes a row of a message of `user`, under the database key if its session's key is not known.
    ///
    /// # Errors
    /// [`EnqueueError::OtherUser`] if the session is another user's, [`EnqueueError::NoKey`] if neither key is known, [`EnqueueError::Unsealable`] if the cipher refuses.
    pub fn seal(
        &self,
        request: &MessageSyncRequest,
        user: Option<UserId>,
        overwrite: Overwrite,
        before: HighestKnown,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<NewRow, EnqueueError> {
        let MessageSyncRequest { session_id, sequence_number, .. } = request;
        let sealing = self.look_for_key(user.as_ref(), session_id).and_then(|key| {
            let sealing = self.cache.sealing(user.as_ref(), session_id, *sequence_number, overwrite, before);
            sealing.or_else(|| self.without_list(key)).ok_or_else(|| self.not_now(user.as_ref()))
        });
        let row = match sealing {
            Ok(sealing) => self.sealed(&sealing, request, at, random)?,
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
        sealing: &Sealing,
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
        self.encode(sealing, position, row.message_id.as_str(), content, random)
            .map(|sealed| sealed.payload)
            .map_err(|error| wait("encryption", error.to_string()))
    }

    /// How messages of a session that wait under the database key are sealed.
    pub(crate) fn sealing_of_waiting(
        &self,
        user: Option<&UserId>,
        session: &SessionId,
    ) -> Result<Sealing, NoKey> {
        let key = self.look_for_key(user, session)?;
        let sealing = self.cache.sealing_of_waiting(user, session);
        sealing.or_else(|| self.without_list(key)).ok_or_else(|| self.not_now(user))
    }

    /// The epoch in which messages of `user` are sealed now.
    pub(crate) fn epoch(&self, user: &UserId) -> Option<Epoch> {
        match self.cache.mode(user)? {
            SealingMode::Epoch(epoch, _) => Some(epoch),
            SealingMode::Version1 | SealingMode::Stopped(_) => None,
        }
    }

    /// Why the device list lets nothing of `user` be sealed now.
    pub(crate) fn stopped(&self, user: &UserId) -> Option<Reason> {
        match self.cache.mode(user)? {
            SealingMode::Stopped(reason) => Some(reason),
            SealingMode::Epoch(..) | SealingMode::Version1 => None,
        }
    }

    /// Version 1 seals with a key that the cache does not keep, as after a sign-out.
    fn without_list(&self, key: MessageKey) -> Option<Sealing> {
        let sealing = Sealing { key: SealingKey::Version1(key), order: Order::Rising };
        self.device_list.is_none().then_some(sealing)
    }

    /// Makes sure that the cache has the key of a session of `user`, from the daemon's store, and knows what the device
    /// list says.
    fn look_for_key(&self, user: Option<&UserId>, session: &SessionId) -> Result<MessageKey, NoKey> {
        self.ask_device_list(user)?;
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

    /// Refuses to seal before the device list is known, and while it forbids sealing.
    fn ask_device_list(&self, user: Option<&UserId>) -> Result<(), NoKey> {
        let Some(list) = &self.device_list else { return Ok(()) };
        let Some(user) = user else {
            return Err(missing("nobody signed in yet, so the device list is not known".into()));
        };
        list.load(user);
        match self.cache.mode(user) {
            Some(SealingMode::Stopped(reason)) => Err(NoKey::Wait(reason)),
            Some(_) => Ok(()),
            None => Err(missing("nobody is signed in, so no keys are kept".into())),
        }
    }

    /// Why the cache has no key though one was found: the user has changed, or what the list says.
    fn not_now(&self, user: Option<&UserId>) -> NoKey {
        match user.and_then(|user| self.cache.mode(user)) {
            Some(SealingMode::Stopped(reason)) => NoKey::Wait(reason),
            _ => missing("who is signed in has changed meanwhile".into()),
        }
    }

    fn sealed(
        &self,
        sealing: &Sealing,
        request: &MessageSyncRequest,
        at: Wall,
        random: &mut dyn CryptoRng,
    ) -> Result<NewRow, EnqueueError> {
        let MessageSyncRequest { session_id, sequence_number, message_id, content } = request;
        let position = MessagePosition { session_id, sequence_number: *sequence_number };
        let sealed = self.encode(sealing, position, message_id.as_str(), content, random)?;
        let SealedRow { payload, texts } = sealed;
        Ok(NewRow { texts, ..row(request, payload, Encryption::SessionKey, at) })
    }

    /// The row as it is stored and sent.
    fn encode(
        &self,
        sealing: &Sealing,
        position: MessagePosition<'_>,
        message_id: &str,
        content: &str,
        random: &mut dyn CryptoRng,
    ) -> Result<SealedRow, SealError> {
        let author = self.writer.get().map(|writer| Author { writer, message_id });
        sealing.row(position, content, author, random)
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
