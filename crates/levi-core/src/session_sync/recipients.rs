//! Which devices are given a session's secret, and under which keys.

use levi_devices::Member;
use levi_transport::rows::DeviceRow;
use levi_types::{AuthSession, DeviceId, UserId};

use super::steps::Steps;
use crate::device_list::{DeviceListProblem, LookError, Recipients, SignedDeviceList};
use crate::reads::Reads;
use crate::sync_error::{EncryptionError, SyncError};

/// The devices to seal for.
#[derive(Default)]
pub(super) struct ToServe {
    pub(super) devices: Vec<DeviceRow>,
    /// Rows that cannot be read, and why.
    pub(super) skipped: Vec<(DeviceId, EncryptionError)>,
}

impl Steps {
    /// The members of the signed device list, which is looked at before; without one, the active rows of `devices`.
    pub(super) async fn devices(&self, reads: &Reads<'_>, auth: &AuthSession) -> Result<ToServe, SyncError> {
        let Some(list) = &self.device_list else { return table(reads).await };
        match self.recipients(list, reads, auth).await? {
            Recipients::Members(members) => {
                let devices = members.iter().map(|member| row_of(member, &auth.user_id)).collect();
                Ok(ToServe { devices, skipped: Vec::new() })
            }
            Recipients::Stopped(problem) => Err(SyncError::DeviceList(problem)),
            Recipients::DeviceTable => table(reads).await,
        }
    }

    /// Looks at the list, and writes the keyrings that this device owes: who is given a secret has to read with it.
    async fn recipients(
        &self,
        list: &SignedDeviceList,
        reads: &Reads<'_>,
        auth: &AuthSession,
    ) -> Result<Recipients, SyncError> {
        let user = &auth.user_id;
        let _one_at_a_time = list.lock().await;
        match list.look_while_locked(reads, user).await {
            Ok(_) => {}
            Err(LookError::Server(refusal)) => return Err(reads.named(refusal).into()),
            Err(error) => return Err(unusable(error)),
        }
        if let Some(keyrings) = list.owed_keyrings(user) {
            self.server.upsert(auth, &keyrings).await?;
            list.keyrings_are_written(user).map_err(unusable)?;
        }
        Ok(list.recipients(user))
    }
}

fn unusable(error: LookError) -> SyncError {
    match error {
        LookError::Server(refusal) => refusal.into(),
        LookError::Store(problem) => SyncError::DeviceList(problem),
        LookError::Overtaken => SyncError::DeviceList(DeviceListProblem::NotLooked),
    }
}

async fn table(reads: &Reads<'_>) -> Result<ToServe, SyncError> {
    let mut found = ToServe::default();
    for row in reads.active_devices().await? {
        match row {
            Ok(device) => found.devices.push(device),
            Err(row) => found.skipped.push((row.key, EncryptionError::Row(row.error))),
        }
    }
    Ok(found)
}

/// A member as a row of `devices` with the key of the list: the table's key is not looked at.
fn row_of(member: &Member, user: &UserId) -> DeviceRow {
    DeviceRow {
        public_key: Some(member.keys().envelope().to_base64()),
        ..DeviceRow::new(member.id().clone(), user.clone(), member.name(), "")
    }
}
