//! The session store's file, as a scan finds it: what SQLite does not see when it opens a damaged one.

use std::io;
use std::path::Path;

use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::sqlite::records::{self, FoundRecord};
use levi_store::{Damage, RepairedStore, ScannedRecord, SqliteSessionStore};
use levi_types::{PortErrorKind, StoreError};

/// Opens the session store in a file of its own. Its log is looked at before SQLite does, which would write over commits
/// that lie behind damage.
///
/// # Errors
/// As for [`SqliteSessionStore::open`].
pub fn open_session_store(
    path: impl AsRef<Path>,
    key: DatabaseKey,
) -> Result<SqliteSessionStore, StoreError> {
    SqliteSessionStore::open_checked(path, key, records::damage)
}

/// What is wrong with the session store at `path`. It is not changed.
///
/// # Errors
/// [`StoreError`] if it cannot be read for another reason.
pub fn session_store_problems(path: impl AsRef<Path>) -> Result<Vec<String>, StoreError> {
    let path = path.as_ref();
    // The log of a store that is open changes while it is read, and was looked at.
    if !SqliteSessionStore::is_in_use(path)
        && let Some(damage) = records::damage(path).map_err(unreadable)?
    {
        return Ok(vec![damage]);
    }
    SqliteSessionStore::problems(path)
}

/// The records of the session store at `path` that do not open, though `key` is the right one. It is not changed.
///
/// # Errors
/// [`StoreError`], also for a wrong key.
pub fn unreadable_session_records(
    path: impl AsRef<Path>,
    key: DatabaseKey,
) -> Result<Vec<String>, StoreError> {
    SqliteSessionStore::unreadable_records(path, key)
}

/// Replaces the session store at `path` by a new one with everything that can be read of it, if it is damaged; `None` if it
/// is sound. The damaged file is kept beside the new one, unchanged.
///
/// Only the session store's own tables are copied, so that a file with tables of the daemon's own is refused.
///
/// # Errors
/// [`StoreError`], also while a process has the store open; the damaged file is in its place then.
pub fn repair_session_store(
    path: impl AsRef<Path>,
    key: DatabaseKey,
) -> Result<Option<RepairedStore>, StoreError> {
    SqliteSessionStore::repair(path, key.clone(), |path| {
        // Before SQLite opens the file.
        let cause = match records::damage(path).map_err(unreadable)? {
            Some(cause) => Some(cause),
            None => SqliteSessionStore::problems(path)?.into_iter().next(),
        };
        let cause = match cause {
            Some(cause) => Some(cause),
            None => SqliteSessionStore::unreadable_records(path, key)?.into_iter().next(),
        };
        let Some(cause) = cause else { return Ok(None) };
        let records = records::records(path).map_err(unreadable)?.into_iter().map(scanned).collect();
        Ok(Some(Damage { cause, records }))
    })
}

fn scanned(FoundRecord { is_current, in_index, columns }: FoundRecord) -> ScannedRecord {
    ScannedRecord { is_current, in_index, columns }
}

fn unreadable(error: io::Error) -> StoreError {
    StoreError::new(PortErrorKind::Unavailable, error)
}
