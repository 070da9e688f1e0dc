//! Who has the file open: every process that does, or one that repairs it.
//!
//! A repair puts another file in its place. A process that had the damaged one open would go on writing to that, and what
//! it keeps there would be lost. The lock is the operating system's, on a file beside the store, so that it is released
//! whenever the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::repair::beside;

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// How long a repair waits for processes that look at the file while they open it.
const OPENING: Duration = Duration::from_millis(500);

/// Held as long as the store is open. Dropping the file unlocks it. The file stays, because two processes could lock two
/// files otherwise.
#[derive(Debug)]
pub(super) struct InUse {
    _lock: File,
}

impl InUse {
    /// Waits at most `patience` while the file is repaired. `alone` runs before, where no other process has the file open.
    pub(super) fn shared(
        path: &Path,
        patience: Duration,
        alone: impl Fn() -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
        let file = open(path).map_err(fail)?;
        let until = Instant::now() + patience;
        loop {
            if is_locked(file.try_lock()).map_err(fail)? {
                alone()?;
                // Not every system changes a lock in one step. What may come in between is another opening, or a repair.
                file.unlock().map_err(fail)?;
            }
            if is_locked(file.try_lock_shared()).map_err(fail)? {
                if !super::repair::is_interrupted(path) {
                    return Ok(Self { _lock: file });
                }
                file.unlock().map_err(fail)?;
            }
            if Instant::now() >= until {
                return Err(Failure::UnderRepair);
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// For a repair.
    pub(super) fn alone(path: &Path) -> Result<Self, Failure> {
        let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
        let file = open(path).map_err(fail)?;
        let until = Instant::now() + OPENING;
        while !is_locked(file.try_lock()).map_err(fail)? {
            if Instant::now() >= until {
                return Err(Failure::InUse);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(Self { _lock: file })
    }
}

/// Whether a process has the file at `path` open.
pub(super) fn is_in_use(path: &Path) -> bool {
    let Ok(file) = File::open(lock_path(path)) else { return false };
    !is_locked(file.try_lock()).unwrap_or(true)
}

/// Not the name that an outbox in the same file gives its lock.
fn lock_path(path: &Path) -> PathBuf {
    beside(path, ".in-use")
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(lock_path(path))
}

fn is_locked(tried: Result<(), TryLockError>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
