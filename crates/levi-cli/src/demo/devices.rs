//! The user's devices: the first one writes, the others read.

use levi::{DeviceOptions, Reader, RefreshingAuth};
use tempfile::TempDir;

use super::environment::Environment;
use crate::error::CliError;
use crate::ids::stable_uuid;

/// Names and kinds.
const DESCRIPTIONS: [(&str, &str); 4] =
    [("laptop", "desktop"), ("phone", "mobile"), ("tablet", "tablet"), ("desk", "desktop")];

pub(crate) struct Devices {
    all: Vec<Device>,
    /// Holds the data directories, and deletes them when it is dropped.
    _directory: TempDir,
}

pub(crate) struct Device {
    pub(crate) levi: levi::Device,
}

impl Devices {
    /// Signs the user in on `count` devices, each with its own data directory, as `levi login`
    /// does.
    pub(crate) async fn register(environment: &Environment, count: u16, seed: u64) -> Result<Self, CliError> {
        let directory = tempfile::tempdir()
            .map_err(|source| CliError::System { what: "create a temporary directory", source })?;
        let http = &environment.http;
        let mut all = Vec::with_capacity(usize::from(count));
        for (number, (name, device_type)) in (0..count).zip(DESCRIPTIONS.iter().cycle()) {
            let path = directory.path().join(format!("device-{number}"));
            let options = DeviceOptions {
                more_roots: http.more_roots.clone(),
                headers: http.headers.clone(),
                ..DeviceOptions::new(&*http.api_url, &*http.publishable_key)
            };
            let levi = levi::Device::open(path, options)?;
            levi.sign_in(&environment.email, &environment.password).await?;
            let id = stable_uuid("demo-device", &[&seed.to_string(), &number.to_string()]);
            levi.folder().save_device_id(&id.into())?;
            levi.register(name, device_type).await?;
            all.push(Device { levi });
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
    pub(crate) fn auth(&self) -> &RefreshingAuth {
        self.levi.auth()
    }

    pub(crate) fn reader(&self) -> Result<Reader, CliError> {
        Ok(self.levi.reader()?)
    }
}
