//! The receiving device: fetch the envelope, open it, pull messages after a cursor in order, decrypt. A row
//! that cannot be read is named with the reason, and the next one is read all the same.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use levi_crypto::envelope::{self, DevicePrivateKey, DevicePublicKey, Envelope, EnvelopeError, Route};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::{MessageKey, OpenError, SessionSecret};
use levi_transport::rows::{MessageRow, NotBase64, SecretRow, decode_rows};
use levi_transport::{ApiError, Select, Supabase, Verdict};
use levi_types::{Auth, AuthError, AuthSession, DeviceId, SessionId, UserId};

use crate::secrets_cache::SecretsCache;
use crate::server::{DeviceTrust, RequestError, Server, ThisDevice};

/// Reads on one device what was written on another, for one user: the one who is signed in when it is made or, if
/// that is not known yet, when it is first used. For another user it reads nothing ([`AuthError::OtherUser`]).
pub struct Reader {
    server: Server,
    device: ThisDevice,
    user: OnceLock<UserId>,
}

/// One message that could be read.
#[derive(Clone, PartialEq, Eq)]
pub struct PulledMessage {
    /// Its place in the session.
    pub sequence_number: i64,
    /// What was written.
    pub content: String,
}

impl std::fmt::Debug for PulledMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulledMessage")
            .field("sequence_number", &self.sequence_number)
            .field("content_bytes", &self.content.len())
            .finish()
    }
}

/// One row that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("message {sequence_number} cannot be read: {error}")]
pub struct UnreadableMessage {
    /// Its place in the session.
    pub sequence_number: i64,
    /// Why.
    pub error: MessageError,
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A column is not base64.
    #[error(transparent)]
    Encoding(#[from] NotBase64),
    /// It was not sealed under this session's key for this place, or was altered since.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Some messages, in order.
#[derive(Debug)]
pub struct Page {
    /// What was read, and what could not be.
    pub messages: Vec<Result<PulledMessage, UnreadableMessage>>,
    /// Ask for the next page after this. `None`: there was nothing past the cursor.
    pub cursor: Option<i64>,
}

/// Why a session cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody is signed in, or the sign-in cannot be used now.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The server refused the request or could not be reached.
    #[error("Supabase did not answer: {0}")]
    Supabase(#[from] ApiError),
    /// No envelope for this device: the session's owner has not shared it (yet).
    #[error(
        "session {session_id} has no secret for device {device_id}; share it from a device that has it (`levi share`, `share_with_device`)"
    )]
    NoEnvelope {
        /// The session.
        session_id: SessionId,
        /// This device.
        device_id: DeviceId,
    },
    /// The envelope names a sender whose public key is not there or cannot be used.
    #[error("the device that sealed the secret has no public key that can be used and is trusted")]
    UnknownSender,
    /// The envelope cannot be opened: another sender, recipient or session, or altered.
    #[error("the session's secret cannot be opened: {0}")]
    Envelope(#[from] EnvelopeError),
}

impl From<RequestError> for ReadError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Api(error) => Self::Supabase(error),
            RequestError::TokenRefused { auth, .. } => Self::Auth(auth),
        }
    }
}

impl ReadError {
    /// How long the project or the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Supabase(error) => error.retry_after,
            Self::Auth(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl Reader {
    /// A reader for `device_id`, which holds `device_private_key`.
    pub fn new(
        supabase: Arc<dyn Supabase>,
        auth: Arc<dyn Auth>,
        device_id: DeviceId,
        device_private_key: DevicePrivateKey,
        secrets_cache: SecretsCache,
    ) -> Self {
        let user = secrets_cache.user().or_else(|| auth.user_id());
        Self {
            server: Server { supabase, auth, cache: secrets_cache },
            device: ThisDevice::new(device_id, device_private_key),
            user: user.map(OnceLock::from).unwrap_or_default(),
        }
    }

    /// Opens only envelopes of senders that `trust` accepts, for daemons that check public keys out of band.
    /// The first call decides.
    #[must_use]
    pub fn with_trust(self, trust: DeviceTrust) -> Self {
        self.device.trust_only(trust);
        self
    }

    /// The session's key: from memory, else from this device's envelope.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn session_key(&self, session: &SessionId) -> Result<MessageKey, ReadError> {
        let auth = self.session().await?;
        let cache = &self.server.cache;
        if let Some(key) = cache.key_of(Some(&auth.user_id), session) {
            return Ok(key);
        }
        let secret = self.secret_as(&auth, session).await?;
        cache.remember_of(Some(&auth.user_id), session.clone(), &secret);
        Ok(secret.message_key())
    }

    /// The session's secret, from this device's envelope.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn session_secret(&self, session: &SessionId) -> Result<SessionSecret, ReadError> {
        self.secret_as(&self.session().await?, session).await
    }

    async fn secret_as(&self, auth: &AuthSession, session: &SessionId) -> Result<SessionSecret, ReadError> {
        let select = Select::secret(session, &self.device.id);
        let rows: Vec<SecretRow> = decode_rows(&self.server.select(auth, select).await?)?;
        let row = rows.into_iter().next().ok_or_else(|| ReadError::NoEnvelope {
            session_id: session.clone(),
            device_id: self.device.id.clone(),
        })?;
        open_secret(&self.server, &self.device, auth, &row).await
    }

    /// The sign-in, if it is still that of this reader's user.
    async fn session(&self) -> Result<AuthSession, AuthError> {
        let auth = self.server.session().await?;
        let user = self.user.get_or_init(|| auth.user_id.clone());
        if *user == auth.user_id {
            return Ok(auth);
        }
        Err(AuthError::OtherUser { expected: user.clone(), found: auth.user_id })
    }

    /// At most `limit` messages past `after` (from the beginning, for `None`), in order.
    ///
    /// # Errors
    /// [`ReadError`] if the page cannot be read. A row that cannot be read is in the page, as an error.
    pub async fn pull(&self, session: &SessionId, after: Option<i64>, limit: u32) -> Result<Page, ReadError> {
        let key = self.session_key(session).await?;
        let auth = self.session().await?;
        let mut limit = limit;
        let body = loop {
            let select = Select::messages_after(session, after, limit);
            match self.server.select(&auth, select).await {
                // Large messages: ask for fewer of them.
                Err(RequestError::Api(error)) if error.verdict == Verdict::ResponseTooLarge && limit > 1 => {
                    limit /= 2;
                }
                result => break result?,
            }
        };
        // Somebody else may have signed in meanwhile.
        self.server.check(&auth)?;
        let rows: Vec<MessageRow> = decode_rows(&body)?;
        let cursor = rows.last().map(|row| row.sequence_number);
        let messages = rows.into_iter().map(|row| read(&key, session, &row)).collect();
        Ok(Page { messages, cursor })
    }
}

fn read(key: &MessageKey, session: &SessionId, row: &MessageRow) -> Result<PulledMessage, UnreadableMessage> {
    let sequence_number = row.sequence_number;
    let place = MessagePosition { session_id: session, sequence_number };
    let open = || -> Result<String, MessageError> {
        Ok(message::open(key, place, &row.ciphertext()?, &row.nonce()?)?)
    };
    match open() {
        Ok(content) => Ok(PulledMessage { sequence_number, content }),
        Err(error) => Err(UnreadableMessage { sequence_number, error }),
    }
}

/// Opens an envelope for this device.
///
/// It was sealed by the device it names or by the session's own. Both are tried where they differ: a row first
/// written by another device keeps that name when the session's own device writes it again without one.
pub(crate) async fn open_secret(
    server: &Server,
    device: &ThisDevice,
    auth: &AuthSession,
    row: &SecretRow,
) -> Result<SessionSecret, ReadError> {
    let envelope = Envelope::from_wire(&row.ephemeral_public_key, &row.encrypted_secret)?;
    if let Some(named) = &row.sender_device_id {
        match open_from(server, device, auth, row, &envelope, named).await {
            Err(ReadError::UnknownSender | ReadError::Envelope(EnvelopeError::Forged)) => {}
            result => return result,
        }
    }
    let owner = server.session_owner(auth, &row.session_id).await?.ok_or(ReadError::UnknownSender)?;
    open_from(server, device, auth, row, &envelope, &owner).await
}

async fn open_from(
    server: &Server,
    device: &ThisDevice,
    auth: &AuthSession,
    row: &SecretRow,
    envelope: &Envelope,
    sender: &DeviceId,
) -> Result<SessionSecret, ReadError> {
    let known = server.device(auth, sender).await?.ok_or(ReadError::UnknownSender)?;
    let key = DevicePublicKey::from_base64(known.public_key.as_deref().unwrap_or_default())
        .map_err(|_| ReadError::UnknownSender)?;
    if !device.trusts(sender, &key) {
        return Err(ReadError::UnknownSender);
    }
    let route = Route {
        user_id: &auth.user_id,
        session_id: &row.session_id,
        sender_device_id: sender,
        recipient_device_id: &device.id,
    };
    Ok(envelope::open(envelope, route, &device.key, &key)?)
}
