//! A device that was registered after the fact gets the secrets of the sessions this device can read.

use levi_transport::Select;
use levi_transport::rows::{DeviceRow, SecretRow, decode_rows};
use levi_types::{AuthSession, DeviceId, SessionId};

use super::SessionSyncService;
use super::error::SyncError;
use super::steps::Steps;
use crate::reader::open_secret;

/// Envelopes asked for at once.
const PAGE: u32 = 200;

/// What a new device was given.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Welcome {
    /// Sessions it can read now.
    pub shared: Vec<SessionId>,
    /// Sessions whose own envelope this device could not open, and why.
    pub unreadable: Vec<(SessionId, String)>,
}

impl SessionSyncService {
    /// Gives `device` an envelope for every session that this device can read.
    ///
    /// # Errors
    /// [`SyncError::NoDeviceIdentity`] where `device` is not an active device of this user with a usable key;
    /// otherwise what kept the server from answering. Calling it again does no harm.
    pub async fn welcome_device(&self, device: &DeviceId) -> Result<Welcome, SyncError> {
        let steps = &self.steps;
        let auth = steps.server.session().await?;
        let devices = steps.server.active_devices(&auth).await?;
        let newcomer: Vec<DeviceRow> = devices.into_iter().filter(|row| row.id == *device).collect();
        if newcomer.is_empty() {
            return Err(SyncError::NoDeviceIdentity);
        }
        let mut welcome = Welcome::default();
        let mut after: Option<SessionId> = None;
        loop {
            let page = Select::secrets_for(&steps.device.id, after.as_ref(), PAGE);
            let own: Vec<SecretRow> = decode_rows(&steps.server.select(&auth, page).await?)?;
            let Some(last) = own.last() else { return Ok(welcome) };
            after = Some(last.session_id.clone());
            let rows = share(steps, &auth, &own, &newcomer, &mut welcome).await?;
            if !rows.is_empty() {
                steps.server.upsert(&auth, &rows).await?;
            }
        }
    }
}

/// Envelopes for the newcomer, for each session of which this device can open its own.
async fn share(
    steps: &Steps,
    auth: &AuthSession,
    own: &[SecretRow],
    newcomer: &[DeviceRow],
    welcome: &mut Welcome,
) -> Result<Vec<SecretRow>, SyncError> {
    let mut rows = Vec::with_capacity(own.len());
    for row in own {
        let session = row.session_id.clone();
        let owner = steps.server.session_owner(auth, &session).await?;
        match open_secret(&steps.server, &steps.device, auth, row).await {
            Ok(secret) => {
                let (distribution, mut made) =
                    steps.envelopes(auth, &session, owner.as_ref(), &secret, newcomer);
                if let Some((_, error)) = distribution.skipped.into_iter().next() {
                    return Err(error.into());
                }
                rows.append(&mut made);
                welcome.shared.push(session);
            }
            Err(error) => welcome.unreadable.push((session, error.to_string())),
        }
    }
    Ok(rows)
}
