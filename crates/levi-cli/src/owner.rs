//! Whether somebody owns an outbox now.

use std::fs::{File, TryLockError};
use std::path::Path;

/// Whether a daemon, or another `levi`, has the outbox at `path` open. `None`: it cannot be told.
///
/// The lock is given back at once; it was held for no longer than it takes to ask.
pub(crate) fn is_owned(path: &Path) -> Option<bool> {
    let file = match File::open(levi::lock_path(path)) {
        Ok(file) => file,
        // Nobody ever owned it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    match file.try_lock_shared() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}
