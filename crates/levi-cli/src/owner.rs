//! Whether a process owns an outbox at the moment.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Whether a daemon or another `levi` process owns the outbox at `path`; `None` if the lock file
/// cannot be read.
///
/// Takes a shared lock to find out, and releases it at once.
pub(crate) fn is_owned(path: &Path) -> Option<bool> {
    let file = match File::open(levi::lock_path(path)) {
        Ok(file) => file,
        // The first owner creates the file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}
