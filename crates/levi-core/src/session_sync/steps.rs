//! The steps of session sync against a live server: one repository's row, one session's row, one secret to
//! all devices.

use std::sync::{Arc, Mutex};

use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePublicKey, Route};
use levi_transport::rows::{DeviceRow, RepositoryRow, SecretRow, SessionRow};
use levi_types::{
    AuthSession, Clock, CodingSession, DeviceId, RepositoryId, SessionId, SessionStatus, SessionStore, UserId,
};
use rand_core::CryptoRng;

use super::parallel_map::{SharedRng, parallel_map};
use crate::server::{Server, ThisDevice};
use crate::sync_error::{EncryptionError, SyncError};

/// The random source, shared by steps that run concurrently.
pub(crate) type SharedRandom = Arc<Mutex<dyn CryptoRng + Send>>;

/// What the steps need.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) server: Server,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) device: ThisDevice,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: SharedRandom,
}

/// The devices to which a secret was distributed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Distribution {
    /// Devices that have an envelope now.
    pub delivered: Vec<DeviceId>,
    /// Devices that have none because their public key cannot be used, and why.
    pub skipped: Vec<(DeviceId, EncryptionError)>,
}

impl Steps {
    /// Refuses to act for `user` while somebody else is signed in.
    pub(crate) async fn check_user(&self, user: Option<&UserId>) -> Result<(), SyncError> {
        let Some(user) = user else { return Ok(()) };
        let found = self.server.session().await?.user_id;
        if found == *user { Ok(()) } else { Err(SyncError::OtherUser { expected: user.clone(), found }) }
    }

    /// Refuses a session that the daemon's store knows as another user's.
    pub(crate) fn check_session(&self, session: &SessionId) -> Result<(), SyncError> {
        let owner = self.store.session_user(session)?;
        match (owner, self.server.cache.user()) {
            (Some(expected), Some(found)) if expected != found => {
                Err(SyncError::OtherUser { expected, found })
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn repository(&self, repository: &RepositoryId) -> Result<(), SyncError> {
        let known = self.store.repository(repository)?;
        let known = known.ok_or_else(|| SyncError::RepositoryNotFound(repository.clone()))?;
        let auth = self.server.session().await?;
        let row = RepositoryRow::new(auth.user_id.clone(), self.device.id.clone(), &known);
        Ok(self.server.upsert(&auth, &[row]).await?)
    }

    pub(crate) async fn session(
        &self,
        session: &SessionId,
        repository: &RepositoryId,
        status: SessionStatus,
    ) -> Result<(), SyncError> {
        let auth = self.server.session().await?;
        let known = self.store.session(session)?;
        // The daemon's store may know the session by its ids only.
        let known = known.unwrap_or_else(|| CodingSession::new(session.clone(), repository.clone()));
        let known = CodingSession { repository_id: repository.clone(), status, ..known };
        let now = self.clock.now().wall;
        let row = SessionRow::new(auth.user_id.clone(), self.device.id.clone(), &known, now);
        Ok(self.server.upsert(&auth, &[row]).await?)
    }

    /// Seals the secret for every active device of the user and sends all envelopes in one request.
    pub(crate) async fn secret(
        &self,
        session: &SessionId,
        secret: &SessionSecret,
    ) -> Result<Distribution, SyncError> {
        let auth = self.server.session().await?;
        let devices = self.server.active_devices(&auth).await?;
        if !devices.iter().any(|device| device.id == self.device.id) {
            return Err(SyncError::NoDeviceIdentity);
        }
        let owner = self.server.session_owner(&auth, session).await?;
        let (distribution, rows) = self.envelopes(&auth, session, owner.as_ref(), secret, &devices);
        if !rows.is_empty() {
            self.server.upsert(&auth, &rows).await?;
        }
        Ok(distribution)
    }

    /// The session's secret, from the daemon's store.
    pub(crate) fn stored_secret(&self, session: &SessionId) -> Result<SessionSecret, SyncError> {
        let stored = self.store.session_secret(session)?;
        let stored = stored.ok_or_else(|| SyncError::SecretNotFound(session.clone()))?;
        // Exposed to be parsed; it goes on as a `SessionSecret`.
        Ok(SessionSecret::parse(stored.expose()).map_err(EncryptionError::from)?)
    }

    /// An envelope for each device whose key can be used. A bad key affects its own device only.
    pub(crate) fn envelopes(
        &self,
        auth: &AuthSession,
        session: &SessionId,
        owner: Option<&DeviceId>,
        secret: &SessionSecret,
        devices: &[DeviceRow],
    ) -> (Distribution, Vec<SecretRow>) {
        let mut distribution = Distribution::default();
        let mut rows = Vec::with_capacity(devices.len());
        let sender_is_owner = owner.is_none_or(|owner| *owner == self.device.id);
        let sealed = parallel_map(devices, |device| self.envelope(auth, session, secret, device));
        for (device, envelope) in devices.iter().zip(sealed) {
            match envelope {
                Ok((ephemeral_public_key, encrypted_secret)) => {
                    distribution.delivered.push(device.id.clone());
                    rows.push(SecretRow {
                        session_id: session.clone(),
                        device_id: device.id.clone(),
                        ephemeral_public_key,
                        encrypted_secret,
                        sender_device_id: (!sender_is_owner).then(|| self.device.id.clone()),
                    });
                }
                Err(error) => {
                    tracing::warn!(device_id = %device.id, "no secret for this device: {error}");
                    distribution.skipped.push((device.id.clone(), error));
                }
            }
        }
        (distribution, rows)
    }

    fn envelope(
        &self,
        auth: &AuthSession,
        session: &SessionId,
        secret: &SessionSecret,
        device: &DeviceRow,
    ) -> Result<(String, String), EncryptionError> {
        let key = DevicePublicKey::from_base64(device.public_key.as_deref().unwrap_or_default())?;
        if !self.device.trusts(&device.id, &key) {
            return Err(EncryptionError::Untrusted);
        }
        let route = Route {
            user_id: &auth.user_id,
            session_id: session,
            sender_device_id: &self.device.id,
            recipient_device_id: &device.id,
        };
        Ok(envelope::seal(secret, route, &self.device.key, &key, &mut SharedRng(&*self.random))?.to_wire())
    }
}
