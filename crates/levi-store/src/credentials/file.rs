//! Credentials as files that only their owner can read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use zeroize::Zeroizing;

use crate::private_files::{self, sync_folder};

/// The longest credential, in bytes. The largest is a sign-in with its tokens, a few kilobytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// One file per credential in a folder of its own: 0600 in 0700, each replaced atomically.
///
/// For machines without a keychain. Every program that can read the user's files or backups can read these. A file that
/// other users can read is refused until its mode is private again.
///
/// On Windows the folder's inherited access list protects the files; put it under the user's profile.
#[derive(Debug)]
pub struct FileCredentials {
    folder: PathBuf,
}

impl FileCredentials {
    /// Uses `folder` and creates it (0700) if it does not exist.
    ///
    /// # Errors
    /// [`PortErrorKind::Denied`] if the folder cannot be created, is not a folder, or is open to other users.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, CredentialsError> {
        let folder = folder.into();
        private_files::create_folder(&folder).map_err(|error| FileError::io("create", &folder, error))?;
        let metadata = fs::metadata(&folder).map_err(|error| FileError::io("look at", &folder, error))?;
        if !metadata.is_dir() {
            return Err(FileError::NotAFolder { path: folder }.into());
        }
        refuse_shared(&folder, &metadata, "700")?;
        Ok(Self { folder })
    }

    fn path(&self, name: &CredentialName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    /// Excludes other writers, of all threads and processes, until the file is dropped. Readers need no lock, because a
    /// credential is replaced atomically.
    fn lock(&self) -> Result<File, CredentialsError> {
        let path = self.folder.join(".lock");
        let lock = private_files::options().create(true).truncate(false).open(&path);
        let locked = lock.and_then(|file| file.lock().map(|()| file));
        locked.map_err(|error| FileError::io("lock", &path, error).into())
    }
}

impl Credentials for FileCredentials {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            // Only this means "no such credential". The folder existed when the store was opened, so a missing folder
            // is an error and not an empty store.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => return Ok(None),
            Err(error) => return Err(FileError::io("read", &path, error).into()),
        };
        Ok(Some(read_private(file, &path)?))
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        let _lock = self.lock()?;
        let path = self.path(name);
        let temporary = self.folder.join(format!(".{}.new", name.as_str()));
        let written = write_private(&temporary, secret).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            // Best effort: an error here must not hide the first one.
            let _ = fs::remove_file(&temporary);
            return Err(FileError::io("write", &path, error).into());
        }
        // The rename is durable once the folder is synced.
        sync_folder(&self.folder).map_err(|error| FileError::io("sync", &self.folder, error).into())
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        let _lock = self.lock()?;
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => {
                sync_folder(&self.folder).map_err(|error| FileError::io("sync", &self.folder, error).into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.is_dir() => Ok(()),
            Err(error) => Err(FileError::io("remove", &path, error).into()),
        }
    }
}

fn read_private(file: File, path: &Path) -> Result<SecretString, CredentialsError> {
    let metadata = file.metadata().map_err(|error| FileError::io("look at", path, error))?;
    refuse_shared(path, &metadata, "600")?;
    if metadata.len() > MAX_BYTES {
        return Err(FileError::NotText { path: path.to_owned() }.into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0)));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| FileError::io("read", path, error))?;
    let text = str::from_utf8(&bytes).map_err(|_| FileError::NotText { path: path.to_owned() })?;
    Ok(SecretString::from(text))
}

fn write_private(path: &Path, secret: &SecretString) -> io::Result<()> {
    // Left by a process that was killed while writing.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_files::options().create_new(true).open(path)?;
    // Exposed to be written to a file that only its owner can read.
    file.write_all(secret.expose().as_bytes())?;
    file.sync_all()
}

#[cfg(unix)]
fn refuse_shared(path: &Path, metadata: &fs::Metadata, mode: &'static str) -> Result<(), FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(FileError::Shared { path: path.to_owned(), mode })
}

#[cfg(not(unix))]
fn refuse_shared(_: &Path, _: &fs::Metadata, _: &'static str) -> Result<(), FileError> {
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{path} is open to other users; run `chmod {mode} {path}`, and replace what was in it if others may have read it", path = .path.display())]
    Shared { path: PathBuf, mode: &'static str },
    #[error("{path} is not a folder; choose another, or move the file away", path = .path.display())]
    NotAFolder { path: PathBuf },
    #[error("{path} was not written by Levi; move it away, or restore it from a backup", path = .path.display())]
    NotText { path: PathBuf },
    #[error("cannot {action} {path}: {source}", path = .path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FileError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Shared { .. } | Self::NotAFolder { .. } => PortErrorKind::Denied,
            Self::NotText { .. } => PortErrorKind::Corrupt,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::ReadOnlyFilesystem => PortErrorKind::Denied,
                _ => PortErrorKind::Unavailable,
            },
        }
    }
}

impl From<FileError> for CredentialsError {
    fn from(error: FileError) -> Self {
        Self::new(error.kind(), error)
    }
}
