//! A session's secret: sealed for each device, and given to them without overwriting another secret of the session.

use levi_crypto::SessionSecret;
use levi_crypto::envelope::{self, DevicePublicKey, Route};
use levi_transport::ApiError;
use levi_transport::rows::{DeviceRow, SecretRow};
use levi_types::{AuthSession, DeviceId, SessionId};

use super::parallel_map::parallel_map;
use super::recipients::ToServe;
use super::skipped::Devices;
use super::steps::Steps;
use crate::control_row::Replaces;
use crate::random::SharedRng;
use crate::read_policy::Retries;
use crate::reader::ReadError;
use crate::reads::Reads;
use crate::request_error::RequestError;
use crate::secrets_cache::KeySource;
use crate::sync_error::{EncryptionError, SkippedDevices, SyncError};

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
        let skipped: Vec<_> = self.skipped.into_iter().filter(|(_, error)| is_tried_again(error)).collect();
        if skipped.is_empty() { Ok(()) } else { Err(SyncError::DevicesSkipped(SkippedDevices(skipped))) }
    }
}

/// Whether a device that was skipped because of `error` keeps the secret's row waiting.
pub(super) const fn is_tried_again(error: &EncryptionError) -> bool {
    !matches!(error, EncryptionError::Untrusted)
}

/// Which of the envelopes on the server may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    /// All of them.
    Over,
    /// None: only devices without an envelope are given one.
    Beside,
}

/// Whether the server has another secret of a session that it had already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecretThere {
    /// It has this device's, or none, or it was not asked.
    NotAnother,
    /// Nobody else can read what is sealed under this device's.
    Another,
}

/// How a secret is given out.
#[derive(Clone, Copy)]
struct Giving {
    /// Whether the session is this device's.
    is_own: bool,
    replaces: Replaces,
}

impl Steps {
    /// Whether the server has an envelope of the session for this device.
    pub(super) async fn has_envelope(&self, session: &SessionId) -> Result<bool, SyncError> {
        let auth = self.server.session().await?;
        let reads = self.server.reads(&auth, Retries::none());
        Ok(reads.secret(session, &self.device.id).await?.is_some())
    }

    /// Seals the secret for every device of the user and sends all envelopes in one request. Where all of the devices that
    /// can be given it have it, the others are looked for at the pace of retries, for all sessions together.
    pub(crate) async fn secret(
        &self,
        session: &SessionId,
        secret: &SessionSecret,
        replaces: Replaces,
    ) -> Result<Distribution, SyncError> {
        let auth = self.server.session().await?;
        let now = self.clock.now();
        if let Some(known) = self.skipped.known(session, now) {
            return Ok(known);
        }
        // The outbox, or the caller, tries again.
        let reads = self.server.reads(&auth, Retries::none());
        let shown = self.devices(&reads, &auth).await?;
        self.skipped.seen(Devices::of(&shown, |device| self.accepted_key(device).is_ok()), now);
        if let Some(known) = self.skipped.known(session, now) {
            return Ok(known);
        }
        self.skipped.underway(session);
        let ToServe { devices, mut skipped } = shown;
        if !devices.iter().any(|device| device.id == self.device.id) {
            return Err(SyncError::NoDeviceIdentity);
        }
        let owner = reads.session_owner(session).await?;
        let giving = Giving { is_own: owner.is_none_or(|owner| owner == self.device.id), replaces };
        let (mut distribution, rows) = self.envelopes(&auth, session, secret, &devices);
        let refused = self.give(&reads, &auth, session, secret, &rows, giving).await?;
        self.server.cache.accept(session);
        distribution.skipped.append(&mut skipped);
        if refused.is_empty() {
            self.skipped.served(session, &distribution.skipped);
        }
        for (row, error) in refused {
            distribution.delivered.retain(|device| *device != row.device_id);
            distribution.skipped.push((row.device_id.clone(), EncryptionError::Row(error)));
        }
        Ok(distribution)
    }

    /// Sends the envelopes. Returns those that the server refuses by themselves, with the reason.
    async fn give<'r>(
        &self,
        reads: &Reads<'_>,
        auth: &AuthSession,
        session: &SessionId,
        secret: &SessionSecret,
        rows: &'r [SecretRow],
        giving: Giving,
    ) -> Result<Vec<(&'r SecretRow, ApiError)>, SyncError> {
        // One that is not new may have another secret: this device's envelope decides before anybody is given one.
        let is_new = self.begun.take(session) && giving.is_own && giving.replaces == Replaces::Known;
        if is_new && self.insert_all(auth, rows).await? {
            return Ok(Vec::new());
        }
        match self.may_write(reads, auth, session, secret, giving).await? {
            Write::Over => Ok(self.server.upsert_each(auth, rows).await?),
            Write::Beside => {
                self.server.insert_new(auth, rows).await?;
                Ok(Vec::new())
            }
        }
    }

    /// Before the first message of a session that the server had already: whether it has another secret of it, as after this
    /// device has lost its store. What is sealed under this device's is not sent then.
    pub(super) async fn compare_secret(
        &self,
        auth: &AuthSession,
        session: &SessionId,
    ) -> Result<SecretThere, SyncError> {
        // Without a secret nothing is sealed.
        let Ok(secret) = self.stored_secret(session) else { return Ok(SecretThere::NotAnother) };
        let reads = self.server.reads(auth, Retries::none());
        let giving = Giving { is_own: true, replaces: Replaces::Known };
        match self.may_write(&reads, auth, session, &secret, giving).await {
            Ok(_) => Ok(SecretThere::NotAnother),
            Err(SyncError::OtherSecret(_)) => Ok(SecretThere::Another),
            Err(error) => Err(error),
        }
    }

    /// Whether every row was inserted: nobody had an envelope.
    async fn insert_all(&self, auth: &AuthSession, rows: &[SecretRow]) -> Result<bool, SyncError> {
        match self.server.insert_new(auth, rows).await {
            Ok(inserted) => Ok(inserted == rows.len()),
            // Some of them may be taken one by one.
            Err(RequestError::Api(error)) if error.verdict.blames_rows() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What may be written over what the server has. A session has the secret of the device that began it: whatever this
    /// device does not know, nobody else could read afterwards.
    async fn may_write(
        &self,
        reads: &Reads<'_>,
        auth: &AuthSession,
        session: &SessionId,
        secret: &SessionSecret,
        giving: Giving,
    ) -> Result<Write, SyncError> {
        let opening = self.opening();
        let mut known = vec![secret.message_key()];
        match giving {
            Giving { is_own: true, replaces: Replaces::Any } => return Ok(Write::Over),
            Giving { is_own: true, replaces: Replaces::Known } => {
                let stored = opening.stored(&auth.user_id, session).into_iter();
                let own = stored.filter(|(_, source)| *source == KeySource::ThisDevice);
                known.extend(own.map(|(own, _)| own.message_key()));
            }
            Giving { is_own: false, .. } => {}
        }
        let unknown = if giving.is_own { Write::Over } else { Write::Beside };
        let Some(row) = reads.secret(session, &self.device.id).await? else { return Ok(unknown) };
        match opening.open(reads, &auth.user_id, session, &row).await {
            Ok(found) if known.contains(&found.message_key()) => Ok(Write::Over),
            Ok(_) => {
                self.server.cache.refuse(&auth.user_id, session, secret);
                Err(SyncError::OtherSecret(session.clone()))
            }
            Err(ReadError::Supabase(error)) => Err(error.into()),
            Err(ReadError::Auth(error)) => Err(error.into()),
            // It was sealed for another key of this device, or by a device whose key is not known any more.
            Err(_) => Ok(unknown),
        }
    }

    /// An envelope for each device whose key can be used. A bad key affects its own device only.
    pub(crate) fn envelopes(
        &self,
        auth: &AuthSession,
        session: &SessionId,
        secret: &SessionSecret,
        devices: &[DeviceRow],
    ) -> (Distribution, Vec<SecretRow>) {
        let mut distribution = Distribution::default();
        let mut rows = Vec::with_capacity(devices.len());
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
                        // The session may be another device's by the time the envelope is opened.
                        sender_device_id: Some(self.device.id.clone()),
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
        let key = self.accepted_key(device)?;
        let route = Route {
            user_id: &auth.user_id,
            session_id: session,
            sender_device_id: &self.device.id,
            recipient_device_id: &device.id,
        };
        // The one for the recovery key is compared later, before anybody needs it.
        let sealed = match self.recovery_key(&auth.user_id) {
            Some(recovery) if recovery == device.id => {
                envelope::seal_reproducibly(secret, route, &self.device.key, &key)
            }
            _ => envelope::seal(secret, route, &self.device.key, &key, &mut SharedRng(&*self.random)),
        };
        Ok(sealed?.to_wire())
    }

    /// The key to seal under for the device.
    fn accepted_key(&self, device: &DeviceRow) -> Result<DevicePublicKey, EncryptionError> {
        device.id.check()?;
        // A device's own public key is its own, whatever the table shows.
        let key = if device.id == self.device.id {
            self.device.key.public_key()
        } else {
            DevicePublicKey::from_base64(device.public_key.as_deref().unwrap_or_default())?
        };
        if self.device.trusts(&device.id, &key) { Ok(key) } else { Err(EncryptionError::Untrusted) }
    }
}
