//! This device with its hands on the list.

use levi::core::{BackfillReport, DeviceListAdmin, ListedDevice, RecoveryEnvelopes};
use levi::devices::MemberType;
use levi::outbox::sqlite::notify::notify_owner;
use levi::transport::Select;
use levi::transport::rows::DeviceRow;
use levi::transport::rows::decode_rows;
use levi::{DeviceId, Levi, SessionSyncService};

use super::Here;
use crate::connection::Connection;
use crate::console::Console;
use crate::error::CliError;
use crate::share::{self, Shared};

/// The device that is signed in here, and the list of its user.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) levi: Levi,
    pub(super) admin: DeviceListAdmin,
}

impl Opened {
    pub(super) async fn new(here: &Here) -> Result<Self, CliError> {
        let connection = Connection::open(&here.project, &here.data).await?;
        let levi = connection.quiet_levi()?;
        let admin = levi.device_list()?;
        Ok(Self { connection, levi, admin })
    }

    /// Tells a daemon that runs on this folder that the list has changed. Where none does, nobody listens.
    pub(super) fn tell_daemon(&self) {
        let _ = notify_owner(&self.connection.data_dir.outbox_path());
    }

    /// The name for this device that was given, or that it was registered with.
    pub(super) async fn own_name(&self, given: Option<String>) -> Result<String, CliError> {
        if let Some(name) = given {
            return Ok(name);
        }
        let select = Select::device(&self.connection.device_id);
        let rows: Vec<DeviceRow> = decode_rows(&self.connection.select(select).await?)?;
        rows.into_iter().next().map(|row| row.name).ok_or(CliError::NoDevice)
    }

    /// Whether this device was given the secret of any session.
    pub(super) async fn reads_any_session(&self) -> Result<bool, CliError> {
        Ok(!self.connection.reader(&self.levi)?.shared_sessions(None, 1).await?.sessions.is_empty())
    }

    /// Gives `device` every session that this one can read.
    pub(super) async fn share_with(&self, device: &DeviceId, console: Console) -> Result<Shared, CliError> {
        Ok(share::report(console, &self.give_secrets(device).await?))
    }

    async fn give_secrets(&self, device: &DeviceId) -> Result<BackfillReport, CliError> {
        Ok(self.session_sync()?.share_with_device(device).await?)
    }

    /// Writes the recovery key's envelopes again that are not as this device makes them.
    pub(super) async fn mend_envelopes(&self) -> Result<RecoveryEnvelopes, CliError> {
        Ok(self.session_sync()?.mend_recovery_envelopes().await?)
    }

    fn session_sync(&self) -> Result<SessionSyncService, CliError> {
        let key = self.connection.data_dir.private_key()?;
        Ok(self.levi.session_sync(self.connection.device_id.clone(), key)?)
    }

    /// Seals for this device, in its own name, the secrets that it was given. Once there is a list, it opens nothing of
    /// devices that are not on it, and some may never be: they were lost or replaced.
    pub(super) async fn keep_secrets(&self) -> Result<(), CliError> {
        self.give_secrets(&self.connection.device_id).await.map(drop)
    }

    /// Gives the recovery key every session that this device can read, because it opens nothing
    /// else once all devices are lost.
    pub(super) async fn share_with_recovery_key(&self, console: Console) -> Result<Shared, CliError> {
        match self.recovery_key().await? {
            Some(recovery) => self.share_with(&recovery, console).await,
            None => Ok(Shared::default()),
        }
    }

    /// As [`share_with_recovery_key`](Self::share_with_recovery_key), where another device shares what this one cannot read.
    pub(super) async fn share_readable_with_recovery_key(&self) -> Result<u64, CliError> {
        match self.recovery_key().await? {
            Some(recovery) => Ok(self.give_secrets(&recovery).await?.shared.len() as u64),
            None => Ok(0),
        }
    }

    async fn recovery_key(&self) -> Result<Option<DeviceId>, CliError> {
        let devices = self.admin.devices().await?;
        Ok(devices.into_iter().find(is_recovery_key).map(|device| device.id))
    }
}

fn is_recovery_key(device: &ListedDevice) -> bool {
    device.member_type == MemberType::Recovery && device.removed_ms.is_none()
}
