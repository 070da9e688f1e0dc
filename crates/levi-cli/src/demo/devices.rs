//! The user's devices: the first writes, the others read.

use std::sync::Arc;

use levi::{DeviceId, HttpSignIn, Levi, Reader, RefreshingAuth, SqliteSessionStore};
use tempfile::TempDir;

use super::stage::Stage;
use crate::device::{self, Description};
use crate::error::CliError;
use crate::home::Home;
use crate::ids::stable_uuid;

const NAMES: [(&str, &str); 4] =
    [("laptop", "desktop"), ("phone", "mobile"), ("tablet", "tablet"), ("desk", "desktop")];

pub(crate) struct Devices {
    pub(crate) all: Vec<Device>,
    /// Every device's data, gone with the demo.
    _folder: TempDir,
}

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) home: Home,
    pub(crate) auth: RefreshingAuth,
}

impl Devices {
    /// Signs the user in on `count` devices, each with its own data folder, as `levi login` does.
    pub(crate) async fn register(stage: &Stage, count: u16, seed: u64) -> Result<Self, CliError> {
        let folder = tempfile::tempdir()
            .map_err(|source| CliError::System { what: "make a folder for the demo", source })?;
        let mut all = Vec::with_capacity(usize::from(count));
        for number in 0..count {
            let home = Home::open(folder.path().join(format!("device-{number}")))?;
            let auth = RefreshingAuth::new(Arc::new(HttpSignIn::new(&stage.http)?), home.credentials());
            auth.sign_in(&stage.email, &stage.password).await?;
            home.save_device_id(
                &stable_uuid("demo-device", &[&seed.to_string(), &number.to_string()]).into(),
            )?;
            let (name, device_type) = NAMES[usize::from(number) % NAMES.len()];
            let id = device::register(&home, &stage.http, &auth, Description { name, device_type }).await?;
            all.push(Device { id, home, auth });
        }
        Ok(Self { all, _folder: folder })
    }

    pub(crate) fn writer(&self) -> &Device {
        &self.all[0]
    }

    pub(crate) fn readers(&self) -> &[Device] {
        &self.all[1..]
    }
}

impl Device {
    /// The message worker of this device, at rest.
    pub(crate) fn levi(&self, stage: &Stage) -> Result<(Levi, Arc<SqliteSessionStore>), CliError> {
        let store = Arc::new(self.home.session_store()?);
        let builder = Levi::builder(stage.http.clone(), Arc::clone(&store) as _);
        let builder = builder.config(self.home.config()).database_key(self.home.database_key()?);
        Ok((builder.credentials(self.home.credentials()).build()?, store))
    }

    pub(crate) fn reader(&self, stage: &Stage) -> Result<Reader, CliError> {
        let (levi, _) = self.levi(stage)?;
        Ok(levi.reader(self.id.clone(), self.home.private_key()?)?)
    }
}
