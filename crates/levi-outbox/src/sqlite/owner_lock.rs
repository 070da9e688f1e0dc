//! One owner process for one outbox.
//!
//! The lock is the operating system's, on a file next to the database, so that it is released whenever the
//! process ends. SQLite's locks do not serve here: they guard a transaction, and a daemon with the outbox in
//! its own database must be able to write there beside the owner.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::failure;
use crate::error::OutboxError;

/// Held for the life of a store.
#[derive(Debug)]
pub(super) struct OwnerLock {
    // Dropping the file unlocks it. The file itself stays: removing it would let two owners lock two files.
    _lock: File,
}

impl OwnerLock {
    /// Makes this process the owner of the outbox at `path`.
    pub(super) fn acquire(path: &Path) -> Result<Self, OutboxError> {
        let file = open_private(&lock_path(path)).map_err(|error| failure::from_io(error, path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _lock: file }),
            Err(TryLockError::WouldBlock) => Err(OutboxError::Owned { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(OutboxError::Other(error.into())),
        }
    }
}

/// The file that the owner of the outbox at `path` keeps locked.
pub fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

/// Whether a process owns the outbox at `path` now. The lock is released at once.
///
/// # Errors
/// The lock file cannot be opened or locked.
pub fn is_owned(path: &Path) -> io::Result<bool> {
    let file = match File::open(lock_path(path)) {
        Ok(file) => file,
        // No process ever owned it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Opens a file for writing, creating it so that only its owner may read it.
pub(super) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
