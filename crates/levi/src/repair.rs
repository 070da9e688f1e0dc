//! A damaged session store: what a scan of its file finds goes into a new one.

use std::io;
use std::path::Path;

use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::sqlite::records::{self, FoundRecord};
use levi_store::{RepairedStore, ScannedRecord, SqliteSessionStore};
use levi_types::{PortErrorKind, StoreError};

/// Replaces the session store at `path` by a new one with everything that can be read of it, if it is damaged; `None` if it
/// is sound. The damaged file is kept beside the new one, unchanged. No process may have the store open.
///
/// Only the session store's own tables are copied, so that a file with tables of the daemon's own is refused.
///
/// # Errors
/// [`StoreError`]; the damaged file is in its place then.
pub fn repair_session_store(
    path: impl AsRef<Path>,
    key: DatabaseKey,
) -> Result<Option<RepairedStore>, StoreError> {
    let path = path.as_ref();
    // Before SQLite opens the file, because it takes no commit behind damage in the log.
    let cause = match records::damage(path).map_err(unreadable)? {
        Some(cause) => Some(cause),
        None => SqliteSessionStore::problems(path)?.into_iter().next(),
    };
    let Some(cause) = cause else { return Ok(None) };
    let found = records::records(path).map_err(unreadable)?;
    let found = found.into_iter().map(scanned).collect();
    let repaired = SqliteSessionStore::rebuild(path, key, found)?;
    Ok(Some(repaired.because(cause)))
}

fn scanned(FoundRecord { is_current, in_index, columns }: FoundRecord) -> ScannedRecord {
    ScannedRecord { is_current, in_index, columns }
}

fn unreadable(error: io::Error) -> StoreError {
    StoreError::new(PortErrorKind::Unavailable, error)
}
