//! One owner for one outbox (G10).
//!
//! The lock is the operating system's own on a file beside the database, so that it is gone with the process,
//! however that ends. SQLite's locks would not do: they guard a transaction, and a daemon with the outbox in its
//! own database must be able to write there beside the owner.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::failure;
use crate::error::OutboxError;

/// Held for the life of a store.
#[derive(Debug)]
pub(super) struct Owner {
    // Dropping the file unlocks it. The file itself stays: removing it would let two owners lock two files.
    _lock: File,
}

impl Owner {
    /// Becomes the owner of the outbox at `path`, or says who cannot.
    pub(super) fn claim(path: &Path) -> Result<Self, OutboxError> {
        let file = open_private(&lock_path(path)).map_err(|error| failure::from_io(error, path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _lock: file }),
            Err(TryLockError::WouldBlock) => Err(OutboxError::Owned { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(OutboxError::Other(error.into())),
        }
    }
}

/// The file whose lock says that somebody owns the outbox at `path`.
pub fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

/// Opens a file for writing, creating it so that only its owner may read it.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
