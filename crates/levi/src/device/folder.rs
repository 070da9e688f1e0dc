//! The folder of a device: what is in it, and where. `docs/reading.md` has the layout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use levi_core::{LeviConfig, SystemClock};
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::MemberKeys;
use levi_outbox::sqlite::DataDir;
use levi_outbox::sqlite::notify::notify_owner;
use levi_store::{FileCredentials, RepairedStore, SqliteSessionStore, private_files};
use levi_transport::{SignInPace, WaitLeft};
use levi_types::{Clock as _, CredentialName, Credentials, CredentialsError, DeviceId, SecretString, UserId};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};

use super::error::DeviceError;
use super::stored_cursor::StoredCursor;

/// The layout that this version writes. A folder of a later one is left alone.
const LAYOUT: u32 = 1;

/// The folder of one device of one user: sign-in, keys, sessions, outbox, cursors. The command
/// `levi` and every daemon that uses [`Device`](super::Device) have the same layout, so that each
/// works on the other's folder.
///
/// Opening it creates nothing.
#[derive(Clone)]
pub struct DeviceFolder {
    path: PathBuf,
    credentials: Arc<FolderCredentials>,
}

/// The project of the last sign-in. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Project {
    /// The version of the folder's layout; absent in the first.
    #[serde(default = "first_layout")]
    layout: u32,
    /// The project's address.
    pub url: String,
    /// Its publishable key.
    pub publishable_key: String,
    /// The user whose folder it is.
    pub user_id: UserId,
}

const fn first_layout() -> u32 {
    1
}

impl Project {
    pub(super) const fn new(url: String, publishable_key: String, user_id: UserId) -> Self {
        Self { layout: LAYOUT, url, publishable_key, user_id }
    }
}

impl DeviceFolder {
    /// The folder at `path`, or `levi` in the user's data folder.
    pub fn new(path: Option<PathBuf>) -> Self {
        let path = DataDir::new(path).path().to_owned();
        let credentials =
            Arc::new(FolderCredentials { path: path.join("credentials"), open: OnceLock::new() });
        Self { path, credentials }
    }

    /// Creates the folder if it does not exist, accessible to this user only.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn create(&self) -> Result<(), DeviceError> {
        self.credentials.open()?;
        Ok(())
    }

    /// The folder's path, which may not exist.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The outbox.
    pub fn outbox_path(&self) -> PathBuf {
        DataDir::new(Some(self.path.clone())).outbox_path()
    }

    /// The session store.
    pub fn store_path(&self) -> PathBuf {
        self.path.join("sessions.sqlite")
    }

    /// The folder of the credentials.
    pub fn credentials_path(&self) -> PathBuf {
        self.credentials.path.clone()
    }

    /// The project of the last sign-in; `None` before the first.
    ///
    /// # Errors
    /// [`DeviceError::ProjectFile`], [`DeviceError::LaterLayout`], [`DeviceError::File`]
    pub fn project(&self) -> Result<Option<Project>, DeviceError> {
        let path = self.project_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DeviceError::File { path, source }),
        };
        let project = serde_json::from_slice(&bytes).map_err(|_| DeviceError::ProjectFile { path })?;
        match project {
            Project { layout, .. } if layout > LAYOUT => {
                Err(DeviceError::LaterLayout { path: self.path.clone() })
            }
            project => Ok(Some(project)),
        }
    }

    pub(super) fn save_project(&self, project: &Project) -> Result<(), DeviceError> {
        #[expect(clippy::expect_used, reason = "text and a number always make JSON")]
        let text = serde_json::to_vec_pretty(project).expect("a project is a plain struct");
        let path = self.project_path();
        private_files::replace(&path, &text).map_err(|source| DeviceError::File { path, source })
    }

    fn project_path(&self) -> PathBuf {
        self.path.join("project.json")
    }

    /// What holds tokens and keys. The folder is created when something is saved.
    pub fn credentials(&self) -> Arc<dyn Credentials> {
        Arc::clone(&self.credentials) as Arc<dyn Credentials>
    }

    /// Deletes the stored tokens. A [`Levi`](crate::Levi) that runs on this folder, in whatever process, sends nothing more,
    /// unless its daemon gave it a token of its own. Keys, sessions and outbox stay.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]: the next start would be signed in.
    pub fn sign_out(&self) -> Result<(), DeviceError> {
        self.credentials().remove(&CredentialName::SignIn)?;
        self.tell_owner();
        Ok(())
    }

    /// Another process may wait for a sign-in, or use the present one. Where none does, nobody listens.
    pub(super) fn tell_owner(&self) {
        let _ = notify_owner(&self.outbox_path());
    }

    /// Whether a sign-in is stored. The server may have ended it.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn has_sign_in(&self) -> Result<bool, DeviceError> {
        Ok(self.credentials.load(&CredentialName::SignIn)?.is_some())
    }

    /// What is left of a wait that the sign-in server asked for.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn sign_in_wait(&self) -> Result<Option<WaitLeft>, DeviceError> {
        let stored = self.credentials.load(&CredentialName::SignInWait)?;
        let mut pace = SignInPace::new(LeviConfig::default().longest_delay());
        // Exposed because it is stored with the secrets without being one.
        Ok(pace.left(SystemClock::new().now(), stored.as_ref().map(SecretString::expose)))
    }

    /// The key of what is encrypted on this disk. Created at the first call.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn database_key(&self) -> Result<DatabaseKey, DeviceError> {
        Ok(levi_store::database_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's private key. Created at the first call.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn private_key(&self) -> Result<DevicePrivateKey, DeviceError> {
        Ok(levi_store::device_private_key(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's keys for the signed device list, its private key among them. Created at the
    /// first call.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn member_keys(&self) -> Result<MemberKeys, DeviceError> {
        Ok(levi_store::member_keys(&*self.credentials, &mut UnwrapErr(SysRng))?)
    }

    /// This device's id; `None` before it was registered for the first time.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn device_id(&self) -> Result<Option<DeviceId>, DeviceError> {
        let stored = self.credentials.load(&CredentialName::DeviceId)?;
        // Exposed because it is stored with the secrets without being one.
        Ok(stored.map(|id| DeviceId::from(id.expose())))
    }

    /// Gives this device an id of the caller's, before it is registered for the first time.
    ///
    /// # Errors
    /// [`DeviceError::Credentials`]
    pub fn save_device_id(&self, id: &DeviceId) -> Result<(), DeviceError> {
        Ok(self.credentials.save(&CredentialName::DeviceId, &id.as_str().into())?)
    }

    /// Opens the session store.
    ///
    /// # Errors
    /// [`DeviceError::Store`], [`DeviceError::Credentials`]
    pub fn session_store(&self) -> Result<SqliteSessionStore, DeviceError> {
        Ok(SqliteSessionStore::open(self.store_path(), self.database_key()?)?)
    }

    /// Repairs the session store as [`SqliteSessionStore::repair`] does.
    /// `None` if it is sound, or there is none.
    ///
    /// # Errors
    /// [`DeviceError::Store`], [`DeviceError::Credentials`]
    pub fn repair_session_store(&self) -> Result<Option<RepairedStore>, DeviceError> {
        let path = self.store_path();
        if path.exists() { Ok(SqliteSessionStore::repair(path, self.database_key()?)?) } else { Ok(None) }
    }

    /// The cursor that is stored under `name`, such as `viewer`: letters, digits and dashes. Each
    /// program that follows has a name of its own, and holds the cursor while it does.
    ///
    /// # Errors
    /// [`DeviceError::CursorInUse`], [`DeviceError::CursorName`], [`DeviceError::File`]
    pub fn cursor(&self, name: &str) -> Result<StoredCursor, DeviceError> {
        StoredCursor::open(&self.path.join("cursors"), name)
    }
}

/// Credentials in a folder that is created when something is saved, so that a refused sign-in
/// leaves nothing behind.
struct FolderCredentials {
    path: PathBuf,
    open: OnceLock<FileCredentials>,
}

impl FolderCredentials {
    fn open(&self) -> Result<&FileCredentials, CredentialsError> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let opened = FileCredentials::open(&self.path)?;
        Ok(self.open.get_or_init(|| opened))
    }
}

impl Credentials for FolderCredentials {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        if self.path.exists() { self.open()?.load(name) } else { Ok(None) }
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        self.open()?.save(name, secret)
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        if self.path.exists() { self.open()?.remove(name) } else { Ok(()) }
    }
}

impl std::fmt::Debug for DeviceFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceFolder").field("path", &self.path).finish_non_exhaustive()
    }
}
