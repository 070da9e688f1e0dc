//! What the list on this device is worth, in words.

use std::path::Path;

use levi::core::stored_device_list;
use levi::types::CredentialName;
use levi::{Credentials as _, DeviceListProblem, DeviceListState, UserId};
use serde::Serialize;

use crate::data_dir::{self, DataDir};
use crate::error::CliError;
use crate::text::plural;

/// What holds without a signed list.
pub(crate) const LIMIT: &str = "Without a signed device list, who holds a token of yours, or the server, can add a device \
                                and is given the secrets of later sessions; `levi init` begins a list";

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
    /// What the folder `data_dir` of `user` has. `None`: nothing that could be read, because there
    /// are no sessions yet, or their key is missing.
    pub(crate) fn read(data_dir: &Path, user: &UserId) -> Result<Option<Self>, CliError> {
        if !data_dir::store_path(data_dir).exists() {
            return Ok(None);
        }
        let data_dir = DataDir::open(data_dir.to_owned())?;
        let key = data_dir.credentials().load(&CredentialName::DatabaseKey)?;
        let (Some(_), Some(device)) = (key, data_dir.device_id()?) else { return Ok(None) };
        let (key, store) = (data_dir.database_key()?, data_dir.session_store()?);
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
