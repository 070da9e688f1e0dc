//! Whether a process owns an outbox at the moment.

use std::path::Path;

/// Whether a daemon or another `levi` process owns the outbox at `path`; `None` if the lock file
/// cannot be read.
pub(crate) fn is_owned(path: &Path) -> Option<bool> {
    levi::outbox::sqlite::is_owned(path).ok()
}
