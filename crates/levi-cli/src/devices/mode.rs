//! What the list on this device is worth, in words.

use levi::core::stored_device_list;
use levi::types::CredentialName;
use levi::{DeviceFolder, DeviceListProblem, DeviceListState, UserId};
use serde::Serialize;

use crate::error::CliError;
use crate::text::plural;

/// What holds without a signed list.
pub(crate) const LIMIT: &str = "Without a signed device list, the server, or anyone who holds your access token, can add a \
                                device that is given the secrets of later sessions; `levi init` begins a list";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    DeviceTable,
    Listed,
    /// Nothing is sealed.
    Stopped,
}

/// What this device remembers of the list. Nobody is asked.
#[derive(Debug, Serialize)]
pub(crate) struct StoredMode {
    pub(crate) mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<usize>,
    /// Why nothing is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    pub(crate) detail: String,
}

impl StoredMode {
    /// What the device's folder of `user` has. `None`: nothing that could be read, because there
    /// are no sessions yet, or their key is missing.
    pub(crate) fn read(folder: &DeviceFolder, user: &UserId) -> Result<Option<Self>, CliError> {
        if !folder.store_path().exists() {
            return Ok(None);
        }
        let key = folder.credentials().load(&CredentialName::DatabaseKey)?;
        let (Some(_), Some(device)) = (key, folder.device_id()?) else { return Ok(None) };
        let (key, store) = (folder.database_key()?, folder.session_store()?);
        Ok(Some(match stored_device_list(&store, user, &device, Some(&key)) {
            Ok(None) => Self::unknown(),
            Ok(Some(stored)) => Self::of(&stored.state),
            Err(problem) => Self::stopped(&problem),
        }))
    }

    /// This device has seen no list. The user may have one.
    fn unknown() -> Self {
        Self {
            detail: format!("this device has seen none. {LIMIT}"),
            ..Self::of(&DeviceListState::DeviceTable)
        }
    }

    pub(crate) fn of(state: &DeviceListState) -> Self {
        let detail = LIMIT.to_owned();
        match state {
            DeviceListState::Listed { epoch, devices } => Self {
                mode: Mode::Listed,
                epoch: Some(*epoch),
                devices: Some(*devices),
                code: None,
                detail: format!("{}, epoch {epoch}", plural(*devices as u64, "device")),
            },
            DeviceListState::Stopped(problem) => Self::stopped(problem),
            _ => Self { mode: Mode::DeviceTable, epoch: None, devices: None, code: None, detail },
        }
    }

    fn stopped(problem: &DeviceListProblem) -> Self {
        let detail = format!("{problem}. Nothing is sealed, and messages wait on this device");
        Self { mode: Mode::Stopped, epoch: None, devices: None, code: Some(problem.code()), detail }
    }
}
