//! The steps of session sync against a live server: one repository's row, one session's row, one secret to
//! all devices.

use std::sync::{Arc, Mutex};

use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePublicKey, Route};
use levi_transport::Update;
use levi_transport::rows::{DeviceRow, RepositoryRow, SecretRow, SessionRow};
use levi_types::{
    AuthSession, Clock, CodingSession, DeviceId, RepositoryId, SessionId, SessionStatus, SessionStore, UserId,
};
use rand_core::CryptoRng;

use super::adopted::Adopted;
use super::parallel_map::parallel_map;
use super::recipients::ToServe;
use crate::control::Presence;
use crate::device_list::SignedDeviceList;
use crate::random::SharedRng;
use crate::reads::Retries;
use crate::server::{RequestError, Server, ThisDevice};
use crate::sync_error::{EncryptionError, SkippedDevices, SyncError};

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
    pub(crate) adopted: Adopted,
    pub(crate) device_list: Option<SignedDeviceList>,
    /// How often a page of sessions to be shared is asked for again.
    pub(crate) retries: Retries,
}

/// The devices to which a secret was distributed.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Distribution {
    /// Devices that have an envelope now.
    pub delivered: Vec<DeviceId>,
    /// Devices that have none, because their row or public key cannot be used or the server refused theirs, and why.
    pub skipped: Vec<(DeviceId, EncryptionError)>,
}

impl Distribution {
    /// Whether every device has an envelope that is to have one. A device that the daemon does not trust is not.
    ///
    /// # Errors
    /// [`SyncError::DevicesSkipped`]: the others have theirs.
    pub fn complete(self) -> Result<(), SyncError> {
        let wanted = |(_, error): &(DeviceId, EncryptionError)| !matches!(error, EncryptionError::Untrusted);
        let skipped: Vec<_> = self.skipped.into_iter().filter(wanted).collect();
        if skipped.is_empty() { Ok(()) } else { Err(SyncError::DevicesSkipped(SkippedDevices(skipped))) }
    }
}

impl Steps {
    /// Refuses to act for `user` while somebody else is signed in.
    pub(crate) async fn check_user(&self, user: Option<&UserId>) -> Result<(), SyncError> {
        let Some(user) = user else { return Ok(()) };
        let found = self.server.session().await?.user_id;
        if found == *user { Ok(()) } else { Err(SyncError::OtherUser { expected: user.clone(), found }) }
    }

    /// Refuses a session that the daemon's store knows as that of another user than `user`.
    pub(crate) fn check_session(&self, user: Option<&UserId>, session: &SessionId) -> Result<(), SyncError> {
        let owner = self.store.session_user(session)?;
        match (owner, user) {
            (Some(expected), Some(found)) if expected != *found => {
                Err(SyncError::OtherUser { expected, found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn repository(&self, repository: &RepositoryId) -> Result<(), SyncError> {
        let known = self.store.repository(repository)?;
        let known = known.ok_or_else(|| SyncError::RepositoryNotFound(repository.clone()))?;
        known.check()?;
        let auth = self.server.session().await?;
        let row = RepositoryRow::new(auth.user_id.clone(), self.device.id.clone(), &known);
        match self.server.upsert(&auth, std::slice::from_ref(&row)).await {
            Ok(()) => {
                self.adopted.forget(&auth.user_id, repository);
                Ok(())
            }
            Err(RequestError::Api(error)) => self.repository_refused(&auth, row, error).await,
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn session(
        &self,
        session: &SessionId,
        repository: &RepositoryId,
        status: SessionStatus,
        presence: Presence,
    ) -> Result<(), SyncError> {
        let auth = self.server.session().await?;
        let known = self.store.session(session)?;
        // The daemon's store may know the session by its ids only.
        let known = known.unwrap_or_else(|| CodingSession::new(session.clone(), repository.clone()));
        let repository_id = self.adopted.id_on_server(&auth.user_id, repository);
        let known = CodingSession { repository_id, status, ..known };
        known.check()?;
        let now = self.clock.now().wall;
        let row = SessionRow::new(auth.user_id.clone(), self.device.id.clone(), &known, now);
        match self.write_session(&auth, &row, presence).await {
            Err(SyncError::Supabase(error)) => {
                self.session_refused(&auth, row, repository, presence, error).await
            }
            outcome => outcome,
        }
    }

    /// A session that the server had once is updated and not inserted again.
    pub(super) async fn write_session(
        &self,
        auth: &AuthSession,
        row: &SessionRow,
        presence: Presence,
    ) -> Result<(), SyncError> {
        match presence {
            Presence::NotSentYet => Ok(self.server.upsert(auth, std::slice::from_ref(row)).await?),
            Presence::MayBeNewer => Ok(self.server.insert(auth, row.clone()).await.map(drop)?),
            Presence::WasThere if self.server.update(auth, Update::session(row)).await? => Ok(()),
            Presence::WasThere => Err(SyncError::SessionGone(row.id.clone())),
        }
    }

    /// Whether the server still has a session that it had once.
    pub(crate) async fn look_up(&self, session: &SessionId) -> Result<(), SyncError> {
        let auth = self.server.session().await?;
        match self.server.reads(&auth, Retries::none()).session_owner(session).await? {
            Some(_) => Ok(()),
            None => Err(SyncError::SessionGone(session.clone())),
        }
    }

    /// Whether the server has an envelope of the session for this device.
    pub(crate) async fn has_envelope(&self, session: &SessionId) -> Result<bool, SyncError> {
        let auth = self.server.session().await?;
        let reads = self.server.reads(&auth, Retries::none());
        Ok(reads.secret(session, &self.device.id).await?.is_some())
    }

    /// Seals the secret for every device of the user and sends all envelopes in one request.
    pub(crate) async fn secret(
        &self,
        session: &SessionId,
        secret: &SessionSecret,
    ) -> Result<Distribution, SyncError> {
        let auth = self.server.session().await?;
        // The outbox, or the caller, tries again.
        let reads = self.server.reads(&auth, Retries::none());
        let ToServe { devices, mut skipped } = self.devices(&reads, &auth).await?;
        if !devices.iter().any(|device| device.id == self.device.id) {
            return Err(SyncError::NoDeviceIdentity);
        }
        let owner = reads.session_owner(session).await?;
        let (mut distribution, rows) = self.envelopes(&auth, session, owner.as_ref(), secret, &devices);
        for (row, error) in self.server.upsert_each(&auth, &rows).await? {
            distribution.delivered.retain(|device| *device != row.device_id);
            skipped.push((row.device_id.clone(), EncryptionError::Row(error)));
        }
        distribution.skipped.append(&mut skipped);
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
        device.id.check()?;
        // A device's own public key is its own, whatever the table shows.
        let key = if device.id == self.device.id {
            self.device.key.public_key()
        } else {
            DevicePublicKey::from_base64(device.public_key.as_deref().unwrap_or_default())?
        };
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
