//! The data directory: the sign-in and its project, this device's keys, its sessions and its
//! outbox.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use levi::core::SystemClock;
use levi::devices::MemberKeys;
use levi::outbox::sqlite::DataDir as DataDirectory;
use levi::transport::{SignInPace, WaitLeft};
use levi::types::{Clock as _, CredentialName, CredentialsError, SecretString};
use levi::{
    Credentials, DatabaseKey, DeviceId, DevicePrivateKey, FileCredentials, HttpOptions, Levi, LeviBuilder,
    LeviConfig, SqliteSessionStore, UserId,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

/// An open data directory. Each device has its own.
#[derive(Clone)]
pub(crate) struct DataDir {
    path: PathBuf,
    credentials: Arc<FileCredentials>,
}

/// The project of the last sign-in. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) url: String,
    pub(crate) publishable_key: String,
    pub(crate) user_id: UserId,
}

/// The path of the data directory, which may not exist.
pub(crate) fn resolve(data_dir: Option<&Path>) -> PathBuf {
    DataDirectory::new(data_dir.map(Path::to_owned)).path().to_owned()
}

pub(crate) fn outbox_path(data_dir: &Path) -> PathBuf {
    DataDirectory::new(Some(data_dir.to_owned())).outbox_path()
}

pub(crate) fn store_path(data_dir: &Path) -> PathBuf {
    data_dir.join("sessions.sqlite")
}

pub(crate) fn credentials_path(data_dir: &Path) -> PathBuf {
    data_dir.join("credentials")
}

fn project_path(data_dir: &Path) -> PathBuf {
    data_dir.join("project.json")
}

/// The project of the last sign-in; `None` before the first.
pub(crate) fn project(data_dir: &Path) -> Result<Option<Project>, CliError> {
    let path = project_path(data_dir);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| CliError::ProjectFile { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Input { path, source }),
    }
}

/// The credentials of a data directory that may not exist yet: it is created when something is saved, so that a
/// refused sign-in leaves nothing behind.
pub(crate) struct CreatedOnSave(pub(crate) PathBuf);

impl CreatedOnSave {
    fn open(&self) -> Result<FileCredentials, CredentialsError> {
        FileCredentials::open(credentials_path(&self.0))
    }
}

impl Credentials for CreatedOnSave {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        if credentials_path(&self.0).exists() { self.open()?.load(name) } else { Ok(None) }
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        self.open()?.save(name, secret)
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        self.open()?.remove(name)
    }
}

impl DataDir {
    /// Opens the directory. If it does not exist, creates it, accessible to this user only.
    pub(crate) fn open(path: PathBuf) -> Result<Self, CliError> {
        let credentials = Arc::new(FileCredentials::open(credentials_path(&path))?);
        Ok(Self { path, credentials })
    }

    pub(crate) fn credentials(&self) -> Arc<FileCredentials> {
        Arc::clone(&self.credentials)
    }

    /// Whether a sign-in is stored. The server may have ended it.
    pub(crate) fn has_sign_in(&self) -> Result<bool, CliError> {
        Ok(self.credentials.load(&CredentialName::SignIn)?.is_some())
    }

    /// What is left of a wait that the sign-in server asked for.
    pub(crate) fn sign_in_wait(&self) -> Result<Option<WaitLeft>, CliError> {
        let stored = self.credentials.load(&CredentialName::SignInWait)?;
        let mut pace = SignInPace::new(LeviConfig::default().longest_delay());
        // Exposed because it is stored with the secrets without being one.
        Ok(pace.left(SystemClock::new().now(), stored.as_ref().map(SecretString::expose)))
    }

    pub(crate) fn database_key(&self) -> Result<DatabaseKey, CliError> {
        Ok(levi::database_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    pub(crate) fn private_key(&self) -> Result<DevicePrivateKey, CliError> {
        Ok(levi::device_private_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's keys for the signed device list.
    pub(crate) fn member_keys(&self) -> Result<MemberKeys, CliError> {
        Ok(levi::member_keys(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's id; `None` before its first sign-in.
    pub(crate) fn device_id(&self) -> Result<Option<DeviceId>, CliError> {
        let stored = self.credentials.load(&CredentialName::DeviceId)?;
        // Exposed because it is stored with the secrets without being one.
        Ok(stored.map(|id| DeviceId::from(id.expose())))
    }

    pub(crate) fn save_device_id(&self, id: &DeviceId) -> Result<(), CliError> {
        Ok(self.credentials.save(&CredentialName::DeviceId, &id.as_str().into())?)
    }

    /// Whether there is a session store, whose content only the database key opens.
    pub(crate) fn has_sessions(&self) -> bool {
        store_path(&self.path).exists()
    }

    pub(crate) fn session_store(&self) -> Result<SqliteSessionStore, CliError> {
        Ok(SqliteSessionStore::open(store_path(&self.path), self.database_key()?)?)
    }

    /// This device's worker, not built yet.
    pub(crate) fn levi(
        &self,
        http: &HttpOptions,
        store: Arc<SqliteSessionStore>,
    ) -> Result<LeviBuilder, CliError> {
        let config = LeviConfig { data_dir: Some(self.path.clone()), ..LeviConfig::default() };
        let builder = Levi::builder(http.clone(), store.clone()).config(config);
        let builder = match self.device_id()? {
            Some(device) => builder.device_list(device, self.member_keys()?, store),
            None => builder,
        };
        Ok(builder.database_key(self.database_key()?).credentials(self.credentials()))
    }

    pub(crate) fn save_project(&self, project: &Project) -> Result<(), CliError> {
        let path = project_path(&self.path);
        let fresh = self.path.join(".project.json.new");
        let text = serde_json::to_vec_pretty(project).map_err(|error| CliError::Output(error.into()))?;
        let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
        written.map_err(|source| CliError::File { path, source })
    }
}
