//! Opens envelopes: which keys the sender may have had, and who may have sealed it.

use std::sync::Arc;

use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePublicKey, Envelope, EnvelopeError, Route};
use levi_transport::rows::SecretRow;
use levi_types::{DeviceId, ReceivedSecret, SenderKey, SessionId, SessionStore, UserId};

use crate::device_list::{LookError, Sender, SignedDeviceList};
use crate::reader::error::ReadError;
use crate::reads::Reads;
use crate::secrets_cache::{KeySource, SecretsCache};
use crate::server::ThisDevice;

/// What opens envelopes and keeps what was in them.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) device: ThisDevice,
    pub(crate) cache: SecretsCache,
    /// Keeps what was opened beyond this process.
    pub(crate) store: Option<Arc<dyn SessionStore>>,
    /// Says whose envelopes are opened, and with which keys.
    pub(crate) device_list: Option<SignedDeviceList>,
}

impl Opening {
    /// Opens this device's envelope of `session`, whatever session its row names.
    ///
    /// It was sealed by the device it names or by the session's own. Both are tried where they differ: a row first
    /// written by another device keeps that name when the session's own device writes it again without one.
    pub(crate) async fn open(
        &self,
        reads: &Reads<'_>,
        user: &UserId,
        session: &SessionId,
        row: &SecretRow,
    ) -> Result<SessionSecret, ReadError> {
        let sealed = Envelope::from_wire(&row.ephemeral_public_key, &row.encrypted_secret)?;
        let mut last = ReadError::UnknownSender;
        if let Some(named) = &row.sender_device_id {
            match self.open_from(reads, user, session, &sealed, named).await {
                Err(error @ (ReadError::UnknownSender | ReadError::Envelope(EnvelopeError::Forged))) => {
                    last = error
                }
                result => return result,
            }
        }
        let owner = reads.session_owner(session).await?;
        match owner.filter(|owner| Some(owner) != row.sender_device_id.as_ref()) {
            Some(owner) => self.open_from(reads, user, session, &sealed, &owner).await,
            None => Err(last),
        }
    }

    async fn open_from(
        &self,
        reads: &Reads<'_>,
        user: &UserId,
        session: &SessionId,
        sealed: &Envelope,
        sender: &DeviceId,
    ) -> Result<SessionSecret, ReadError> {
        let keys = self.keys_of(reads, user, sender).await?;
        let route = Route {
            user_id: user,
            session_id: session,
            sender_device_id: sender,
            recipient_device_id: &self.device.id,
        };
        let mut last = ReadError::UnknownSender;
        for key in keys {
            match envelope::open(sealed, route, &self.device.key, &key) {
                Ok(secret) => {
                    self.keep(user, session, &secret, sender, key);
                    return Ok(secret);
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    /// The public keys that `sender` has or had, the present one first. An envelope that was sealed before a device's key
    /// was replaced opens with its earlier key only.
    async fn keys_of(
        &self,
        reads: &Reads<'_>,
        user: &UserId,
        sender: &DeviceId,
    ) -> Result<Vec<DevicePublicKey>, ReadError> {
        if *sender == self.device.id {
            return Ok(vec![self.device.key.public_key()]);
        }
        let mut listed = self.listed(user, sender);
        // Adding a device begins no epoch, so nothing else shows that one was paired since the last look.
        if matches!(listed, Sender::Unknown) && self.look_at_list(reads, user).await? {
            listed = self.listed(user, sender);
        }
        match listed {
            Sender::Member { key, .. } => {
                return Ok(Some(key).filter(|key| self.device.trusts(sender, key)).into_iter().collect());
            }
            Sender::Unknown => return Ok(Vec::new()),
            Sender::DeviceTable => {}
        }
        let row = reads.device(sender).await?;
        let present = row.and_then(|row| row.public_key);
        let mut keys: Vec<DevicePublicKey> =
            present.iter().filter_map(|key| DevicePublicKey::from_base64(key).ok()).collect();
        let stored = self.store.as_ref().map(|store| store.sender_keys(user, sender));
        let stored = stored.transpose().unwrap_or_else(|error| {
            tracing::warn!("earlier keys of {sender} are not known: {error}");
            None
        });
        let earlier = stored.unwrap_or_default();
        keys.extend(earlier.iter().filter_map(|key| DevicePublicKey::from_base64(key).ok()));
        keys.extend(self.cache.sender_keys(sender));
        let mut known = Vec::with_capacity(keys.len());
        for key in keys {
            if !known.contains(&key) && self.device.trusts(sender, &key) {
                known.push(key);
            }
        }
        Ok(known)
    }

    /// Asks the server for new entries of the device list, at most once a read. Returns whether it asked.
    ///
    /// # Errors
    /// [`ReadError`] if the server cannot be asked now.
    pub(crate) async fn look_at_list(&self, reads: &Reads<'_>, user: &UserId) -> Result<bool, ReadError> {
        let Some(list) = self.device_list.as_ref().filter(|_| reads.may_look_at_list()) else {
            return Ok(false);
        };
        match list.look(reads, user).await {
            Ok(_) | Err(LookError::Store(_) | LookError::Overtaken) => Ok(true),
            Err(LookError::Server(refusal)) => Err(reads.named(refusal).into()),
        }
    }

    /// What the signed device list says of a device.
    fn listed(&self, user: &UserId, device: &DeviceId) -> Sender {
        self.device_list.as_ref().map_or(Sender::DeviceTable, |list| list.sender(user, device))
    }

    /// Whether a device is known to be the user's, so that a secret from it may be used for sealing.
    fn is_known(&self, user: &UserId, device: &DeviceId) -> bool {
        match self.listed(user, device) {
            Sender::Member { is_active, .. } => is_active,
            Sender::Unknown => false,
            Sender::DeviceTable => self.device.has_trust(),
        }
    }

    fn keep(
        &self,
        user: &UserId,
        session: &SessionId,
        secret: &SessionSecret,
        sender: &DeviceId,
        key: DevicePublicKey,
    ) {
        let source = KeySource::Sender(sender.clone(), key);
        self.cache.remember_to_read(user, session.clone(), secret, source);
        if self.is_known(user, sender) {
            self.cache.trust(user, session.clone(), secret);
        }
        let Some(store) = &self.store else { return };
        let received = ReceivedSecret {
            // Exposed to the store, which encrypts it.
            secret: secret.expose().into(),
            sender: Some(SenderKey { device_id: sender.clone(), public_key: key.to_base64() }),
        };
        if let Err(error) = store.keep_received_secret(user, session, &received) {
            // It is in memory, and the server still has the envelope.
            tracing::warn!(session_id = %session, "the secret could not be kept: {error}");
        }
    }

    /// Every secret of the session that this device has, without asking the server: the store's
    /// own, then those in earlier envelopes whose senders are trusted now.
    pub(crate) fn stored(&self, user: &UserId, session: &SessionId) -> Vec<(SessionSecret, KeySource)> {
        let Some(store) = &self.store else { return Vec::new() };
        let own = store.session_secret(session).unwrap_or_else(|error| {
            tracing::warn!(session_id = %session, "the session store's secret is not known: {error}");
            None
        });
        let received = store.received_secrets(user, session).unwrap_or_else(|error| {
            tracing::warn!(session_id = %session, "earlier secrets are not known: {error}");
            Vec::new()
        });
        // Exposed to be parsed into `SessionSecret`s.
        let own = own.and_then(|own| SessionSecret::parse(own.expose()).ok());
        let own = own.map(|secret| (secret, KeySource::ThisDevice));
        let received = received.into_iter().filter_map(|received| {
            let source = match received.sender {
                None => KeySource::ThisDevice,
                Some(sender) => {
                    let key = DevicePublicKey::from_base64(&sender.public_key).ok()?;
                    KeySource::Sender(sender.device_id, key)
                }
            };
            let secret = SessionSecret::parse(received.secret.expose()).ok()?;
            self.may_read_with(user, &source).then_some((secret, source))
        });
        own.into_iter().chain(received).collect()
    }

    /// Whether a key from `source` may be used for reading.
    pub(crate) fn may_read_with(&self, user: &UserId, source: &KeySource) -> bool {
        let KeySource::Sender(device, key) = source else { return true };
        // What this device sealed itself stays its own when its key is replaced.
        if *device == self.device.id {
            return true;
        }
        let is_listed = match self.listed(user, device) {
            Sender::DeviceTable => true,
            Sender::Member { key: listed, .. } => listed == *key,
            Sender::Unknown => false,
        };
        is_listed && self.device.trusts(device, key)
    }
}
