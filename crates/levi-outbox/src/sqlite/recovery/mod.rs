//! A damaged outbox is quarantined unchanged, and the rows that can be read go into a fresh one.
//!
//! The order of the steps keeps a kill or a power cut between them from losing anything: the
//! damaged files keep their names until the fresh outbox is whole and on disk. Its name
//! `.recovered` is the point of no return, from which the next open completes the recovery.

mod files;
mod rows;
mod users;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub(super) use self::files::{finish, mark_suspect};
use self::rows::Recovered;
#[cfg(test)]
pub(super) use self::users::Users;
use super::owner_lock::{self, OwnerLock};
use super::schema::{self, Found};
use super::{JournalMode, SqliteOptions, SqliteOutbox, failure, open};
use crate::error::OutboxError;
use crate::model::RecoveryReport;

/// Databases up to this size are checked at every open, which takes a tenth of a second at most;
/// larger ones only after damage was found.
const CHECKED_BYTES: u64 = 32 << 20;

impl SqliteOutbox {
    /// As [`open`](Self::open), but a damaged file is quarantined, and the rows that can be read
    /// are in the fresh outbox that is opened. The report is `None` for a sound file.
    ///
    /// # Errors
    /// As for [`open`](Self::open), without [`OutboxError::Corrupt`]. A full disk leaves the
    /// damaged file in place.
    pub fn open_or_recover(
        path: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<(Self, Option<RecoveryReport>), OutboxError> {
        let path = open::resolve(path.as_ref())?;
        let owner = OwnerLock::acquire(&path)?;
        finish(&path)?;
        let report = match check(&path) {
            Ok(()) => None,
            Err(OutboxError::Corrupt(_)) => Some(recover(&path)?),
            Err(other) => return Err(other),
        };
        drop(owner_lock::open_private(&path).map_err(|error| failure::from_io(error, &path))?);
        match Self::with_owner(path.clone(), &options, owner, JournalMode::Wal) {
            // Damage that only a write finds, in a file too large to be checked at every open.
            Err(OutboxError::Corrupt(_)) if report.is_none() => {
                let owner = OwnerLock::acquire(&path)?;
                let report = recover(&path)?;
                Ok((Self::with_owner(path, &options, owner, JournalMode::Wal)?, Some(report)))
            }
            opened => Ok((opened?, report)),
        }
    }

    /// Quarantines a damaged outbox and leaves a fresh one in its place, with the rows that could
    /// be read.
    ///
    /// The damaged files are not changed: they get the first free name of the form
    /// `<path>.damaged-1`. The caller decides whether the file is damaged
    /// ([`Inspector::problems`](super::Inspector::problems)).
    ///
    /// # Errors
    /// [`OutboxError::Owned`] while another process has it open; [`OutboxError::DiskFull`], because
    /// a second copy needs room; the others as named. The damaged outbox is still in place then.
    pub fn quarantine_and_recover(path: impl AsRef<Path>) -> Result<RecoveryReport, OutboxError> {
        let path = open::resolve(path.as_ref())?;
        let _owner = OwnerLock::acquire(&path)?;
        finish(&path)?;
        std::fs::metadata(&path).map_err(|error| failure::from_io(error, &path))?;
        recover(&path)
    }
}

/// Fails with [`OutboxError::Corrupt`] if a check finds damage. Changes nothing.
fn check(path: &Path) -> Result<(), OutboxError> {
    let damaged = |what: &'static str| OutboxError::Corrupt(what.into());
    match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Err(_) => return Ok(()),
        // SQLite would take it for a new database and remove the log, which may contain every row.
        Ok(0) if files::length(&files::beside(path, "-wal")) > 0 => {
            return Err(damaged("the database is empty and its log is not"));
        }
        Ok(0) => return Ok(()),
        Ok(_) => {}
    }
    let fail = |error| failure::from_sqlite(error, path);
    let conn = connect(path).map_err(fail)?;
    // A damaged file must not be checkpointed when this connection closes.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail)?;
    if let Found::Newer(found) = schema::find(&conn).map_err(fail)? {
        return Err(OutboxError::NewerSchema { found, known: schema::KNOWN });
    }
    let suspect = files::is_suspect(path);
    if suspect || files::length(path) <= CHECKED_BYTES {
        let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(fail)?;
        if found != "ok" {
            return Err(damaged("SQLite's own check found damage"));
        }
    }
    if suspect {
        files::clear_suspect(path);
    }
    Ok(())
}

/// The caller holds the owner's lock.
fn recover(path: &Path) -> Result<RecoveryReport, OutboxError> {
    let fail_io = |error| failure::from_io(error, path);
    let reading = files::copy_for_reading(path).map_err(fail_io)?;
    files::remove_leftover(path, files::RECOVERING_BEFORE).map_err(fail_io)?;
    let fresh = files::remove_leftover(path, files::RECOVERING).map_err(fail_io)?;
    drop(owner_lock::open_private(&fresh).map_err(fail_io)?);
    let recovered = copy_rows(&reading, &fresh).map_err(|error| failure::from_sqlite(error, &fresh))?;
    files::remove_leftover(path, files::READING).map_err(fail_io)?;
    let quarantined = files::quarantine(path).map_err(fail_io)?;
    files::replace(path, &fresh).map_err(fail_io)?;
    finish(path)?;
    let Recovered { rows, parked, control_rows, lost } = recovered;
    Ok(RecoveryReport { quarantined, rows, parked, control_rows, lost })
}

/// Copies the rows of the damaged database to a new one. Errors are those of the new one: a row
/// that cannot be read is lost, and counted.
fn copy_rows(reading: &Path, fresh: &Path) -> rusqlite::Result<Recovered> {
    let mut new = connect(fresh)?;
    let transaction = new.transaction()?;
    schema::upgrade(&transaction, 0)?;
    transaction.commit()?;
    match connect(reading) {
        Ok(old) => rows::copy_rows(&old, &mut new),
        Err(_) => Ok(Recovered::default()),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(conn)
}
