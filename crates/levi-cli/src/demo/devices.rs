//! The user's devices: the first one writes, the others read.

use std::sync::Arc;

use levi::transport::HttpSignIn;
use levi::{DeviceId, Reader, RefreshingAuth};
use tempfile::TempDir;

use super::environment::Environment;
use crate::data_dir::DataDir;
use crate::device::{self, Description};
use crate::error::CliError;
use crate::ids::stable_uuid;

const DESCRIPTIONS: [Description<'static>; 4] = [
    Description { name: "laptop", device_type: Some("desktop") },
    Description { name: "phone", device_type: Some("mobile") },
    Description { name: "tablet", device_type: Some("tablet") },
    Description { name: "desk", device_type: Some("desktop") },
];

pub(crate) struct Devices {
    all: Vec<Device>,
    /// Holds the data directories, and deletes them when it is dropped.
    _directory: TempDir,
}

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) data_dir: DataDir,
    pub(crate) auth: RefreshingAuth,
}

impl Devices {
    /// Signs the user in on `count` devices, each with its own data directory, as `levi login`
    /// does.
    pub(crate) async fn register(environment: &Environment, count: u16, seed: u64) -> Result<Self, CliError> {
        let directory = tempfile::tempdir()
            .map_err(|source| CliError::System { what: "create a temporary directory", source })?;
        let http = &environment.http;
        let mut all = Vec::with_capacity(usize::from(count));
        for (number, description) in (0..count).zip(DESCRIPTIONS.iter().cycle()) {
            let data_dir = DataDir::open(directory.path().join(format!("device-{number}")))?;
            let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(http)?), data_dir.credentials());
            auth.sign_in(&environment.email, &environment.password).await?;
            let id = stable_uuid("demo-device", &[&seed.to_string(), &number.to_string()]);
            data_dir.save_device_id(&id.into())?;
            let id = device::register(&data_dir, http, &auth, *description).await?;
            all.push(Device { id, data_dir, auth });
        }
        Ok(Self { all, _directory: directory })
    }

    pub(crate) fn writer(&self) -> &Device {
        &self.all[0]
    }

    pub(crate) fn readers(&self) -> &[Device] {
        &self.all[1..]
    }
}

impl Device {
    pub(crate) fn reader(&self, environment: &Environment) -> Result<Reader, CliError> {
        let store = Arc::new(self.data_dir.session_store()?);
        let levi = self.data_dir.levi(&environment.http, store)?.build()?;
        Ok(levi.reader(self.id.clone(), self.data_dir.private_key()?)?)
    }
}
