//! One owner process for one outbox.
//!
//! The lock is the operating system's, on a file next to the database, so that it is released
//! whenever the process ends. SQLite's locks do not serve here: they guard a transaction, and a
//! daemon with the outbox in its own database must be able to write there beside the owner.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::failure;
use crate::error::OutboxError;

/// How often a process tries to become the owner while other processes check whether there is one.
const TRIES: u32 = 100;

/// The pause between two tries: a check takes some microseconds.
const PAUSE: Duration = Duration::from_millis(2);

/// Held for the life of a store.
#[derive(Debug)]
pub(super) struct OwnerLock {
    // Dropping the file unlocks it. The file itself stays: removing it would let two owners lock
    // two files.
    _lock: File,
}

impl OwnerLock {
    /// Makes this process the owner of the outbox at `path`.
    pub(super) fn acquire(path: &Path) -> Result<Self, OutboxError> {
        Self::acquire_between_checks(path, || thread::sleep(PAUSE))
    }

    /// `pause` runs while a process in [`is_owned`] has the lock: not the owner, and only for a
    /// moment.
    fn acquire_between_checks(path: &Path, pause: impl Fn()) -> Result<Self, OutboxError> {
        let file = open_private(&lock_path(path)).map_err(|error| failure::from_io(error, path))?;
        let fail = |error: io::Error| OutboxError::Other(error.into());
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _lock: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            // An owner holds a lock that excludes this one; a check does not.
            match file.try_lock_shared() {
                Ok(()) => file.unlock().map_err(fail)?,
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            pause();
        }
        Err(OutboxError::Owned { path: path.to_owned() })
    }
}

/// The file that the owner of the outbox at `path` keeps locked.
pub fn lock_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    PathBuf::from(name)
}

/// Whether a process owns the outbox at `path` now. The check takes a shared lock for a moment,
/// which a process that is about to become the owner waits for.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_check_keeps_no_process_from_becoming_the_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.db");
        let check = open_private(&lock_path(&path)).unwrap();
        check.lock_shared().unwrap();
        assert!(!is_owned(&path).unwrap());
        let pauses = Cell::new(0);
        let owner = OwnerLock::acquire_between_checks(&path, || {
            pauses.set(pauses.get() + 1);
            check.unlock().unwrap();
        });
        assert!(owner.is_ok() && pauses.get() == 1, "{owner:?} after {} pauses", pauses.get());
        assert!(is_owned(&path).unwrap());
        let second = OwnerLock::acquire_between_checks(&path, || panic!("an owner is not waited for"));
        assert!(matches!(second, Err(OutboxError::Owned { .. })), "{second:?}");
    }
}
