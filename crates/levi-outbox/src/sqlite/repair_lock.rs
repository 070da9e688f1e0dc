//! An operator's changes and a repair exclude each other.
//!
//! A repair reads the rows of a damaged file and then puts a fresh one in its place, so that a change in between would be
//! undone. The owner's lock does not serve, because an operator changes the outbox beside its owner. This one is the
//! operating system's too, on another file.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::failure;
use super::owner_lock::open_private;
use crate::error::OutboxError;

/// How long a repair waits for an operator's changes, which wait five seconds themselves for other writers.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// Dropping the file unlocks it. The file stays, because two processes could lock two files otherwise.
#[derive(Debug)]
pub(super) struct RepairLock {
    _lock: File,
}

impl RepairLock {
    /// For a repair: waits until no operator's change is being written.
    pub(super) fn exclusive(path: &Path) -> Result<Self, OutboxError> {
        let fail = |error| failure::from_io(error, path);
        let file = open_private(&lock_path(path)).map_err(fail)?;
        let until = Instant::now() + PATIENCE;
        while !is_locked(file.try_lock()).map_err(fail)? {
            if Instant::now() >= until {
                return Err(OutboxError::Locked("an operator's command has it open".into()));
            }
            thread::sleep(PAUSE);
        }
        Ok(Self { _lock: file })
    }

    /// For an operator's changes; `None` while a repair runs.
    pub(super) fn shared(path: &Path) -> Result<Option<Self>, OutboxError> {
        let fail = |error| failure::from_io(error, path);
        let file = open_private(&lock_path(path)).map_err(fail)?;
        Ok(is_locked(file.try_lock_shared()).map_err(fail)?.then_some(Self { _lock: file }))
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".repair-lock");
    PathBuf::from(name)
}

fn is_locked(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
