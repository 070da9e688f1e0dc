//! The data folder: who is signed in, to which project, this device's keys, its sessions and its outbox.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use levi::{
    CredentialName, Credentials as _, DatabaseKey, DeviceId, DevicePrivateKey, FileCredentials, LeviConfig,
    SqliteSessionStore, UserId,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// One device's data folder.
#[derive(Clone)]
pub(crate) struct Home {
    folder: PathBuf,
    credentials: Arc<FileCredentials>,
}

/// Which project the folder is signed in to. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) url: String,
    pub(crate) publishable_key: String,
    pub(crate) user_id: UserId,
}

/// Where the data folder is, whether or not there is one.
pub(crate) fn folder(data_dir: Option<&Path>) -> PathBuf {
    levi::data_dir(&LeviConfig { data_dir: data_dir.map(Path::to_owned), ..LeviConfig::default() })
}

pub(crate) fn outbox_path(folder: &Path) -> PathBuf {
    folder.join("outbox.sqlite")
}

pub(crate) fn store_path(folder: &Path) -> PathBuf {
    folder.join("sessions.sqlite")
}

pub(crate) fn credentials_path(folder: &Path) -> PathBuf {
    folder.join("credentials")
}

fn project_path(folder: &Path) -> PathBuf {
    folder.join("project.json")
}

/// The project that a folder is signed in to, if it ever was.
pub(crate) fn project(folder: &Path) -> Result<Option<Project>, CliError> {
    let path = project_path(folder);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| CliError::ProjectFile { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Input { path, source }),
    }
}

impl Home {
    /// Opens the folder, and makes it (for this user only) if it is not there.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, CliError> {
        let credentials = Arc::new(FileCredentials::open(credentials_path(&folder))?);
        Ok(Self { folder, credentials })
    }

    pub(crate) fn credentials(&self) -> Arc<FileCredentials> {
        Arc::clone(&self.credentials)
    }

    /// Whether somebody is signed in, as far as this folder knows.
    pub(crate) fn has_sign_in(&self) -> Result<bool, CliError> {
        Ok(self.credentials.load(&CredentialName::SignIn)?.is_some())
    }

    pub(crate) fn database_key(&self) -> Result<DatabaseKey, CliError> {
        Ok(levi::database_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    pub(crate) fn private_key(&self) -> Result<DevicePrivateKey, CliError> {
        Ok(levi::device_private_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's id; `None` before its first sign-in.
    pub(crate) fn device_id(&self) -> Result<Option<DeviceId>, CliError> {
        let stored = self.credentials.load(&CredentialName::DeviceId)?;
        // Exposed: it is kept with the secrets, but is none.
        Ok(stored.map(|id| DeviceId::from(id.expose())))
    }

    pub(crate) fn save_device_id(&self, id: &DeviceId) -> Result<(), CliError> {
        Ok(self.credentials.save(&CredentialName::DeviceId, &id.as_str().into())?)
    }

    pub(crate) fn session_store(&self) -> Result<SqliteSessionStore, CliError> {
        Ok(SqliteSessionStore::open(store_path(&self.folder), self.database_key()?)?)
    }

    pub(crate) fn config(&self) -> LeviConfig {
        LeviConfig { data_dir: Some(self.folder.clone()), ..LeviConfig::default() }
    }

    pub(crate) fn save_project(&self, project: &Project) -> Result<(), CliError> {
        let path = project_path(&self.folder);
        let fresh = self.folder.join(".project.json.new");
        let text = serde_json::to_vec_pretty(project).map_err(|error| CliError::Output(error.into()))?;
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|source| CliError::File { path, source })
    }
}
