//! A device that was registered later gets the secrets of the sessions that this device can read.

use levi_transport::Select;
use levi_transport::rows::{DeviceRow, SecretRow, decode_rows};
use levi_types::{DeviceId, SessionId};

use super::SessionSyncService;
use super::steps::Steps;
use crate::account::Account;
use crate::reader::open_secret;
use crate::sync_error::SyncError;

/// Envelopes in one response.
const PAGE: u32 = 200;

/// The sessions that were shared with a device.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct BackfillReport {
    /// Sessions that the device can read now.
    pub shared: Vec<SessionId>,
    /// Sessions whose own envelope this device could not open, and why.
    pub unreadable: Vec<(SessionId, String)>,
}

impl SessionSyncService {
    /// Gives `device` an envelope for every session that this device can read.
    ///
    /// # Errors
    /// [`SyncError::NoDeviceIdentity`] if `device` is not an active device of this user with a usable key;
    /// otherwise the server's error. Calling it again does no harm.
    pub async fn share_with_device(&self, device: &DeviceId) -> Result<BackfillReport, SyncError> {
        let steps = &self.steps;
        let account = steps.server.account().await?;
        let devices = steps.server.active_devices(&account).await?;
        let recipient: Vec<DeviceRow> = devices.into_iter().filter(|row| row.id == *device).collect();
        if recipient.is_empty() {
            return Err(SyncError::NoDeviceIdentity);
        }
        let mut report = BackfillReport::default();
        let mut after: Option<SessionId> = None;
        loop {
            let page = Select::secrets_for(&steps.device.id, after.as_ref(), PAGE);
            let own: Vec<SecretRow> = decode_rows(&steps.server.select(&account, page).await?)?;
            let Some(last) = own.last() else { return Ok(report) };
            after = Some(last.session_id.clone());
            let rows = share(steps, &account, &own, &recipient, &mut report).await?;
            if !rows.is_empty() {
                steps.server.upsert(&account, &rows).await?;
            }
        }
    }
}

/// Envelopes for the recipient, for each session whose secret this device can open.
async fn share(
    steps: &Steps,
    account: &Account,
    own: &[SecretRow],
    recipient: &[DeviceRow],
    report: &mut BackfillReport,
) -> Result<Vec<SecretRow>, SyncError> {
    let mut rows = Vec::with_capacity(own.len());
    for row in own {
        let session = row.session_id.clone();
        let owner = steps.server.session_owner(account, &session).await?;
        match open_secret(&steps.server, &steps.device, account, row).await {
            Ok(secret) => {
                let (distribution, mut made) =
                    steps.envelopes(account, &session, owner.as_ref(), &secret, recipient);
                if let Some((_, error)) = distribution.skipped.into_iter().next() {
                    return Err(error.into());
                }
                rows.append(&mut made);
                report.shared.push(session);
            }
            Err(error) => report.unreadable.push((session, error.to_string())),
        }
    }
    Ok(rows)
}
