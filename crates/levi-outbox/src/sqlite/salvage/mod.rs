//! A damaged outbox: set aside as it is, and what can still be read goes into a fresh one.
//!
//! The order of the steps is what keeps a kill or a power cut in between from losing anything: the old files keep
//! their names until the fresh outbox is whole and on disk, and its name `.salvaged` is the point of no return,
//! from which the next opening goes on by itself.

mod files;
mod rows;

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

pub(super) use self::files::{finish, mark_suspect};
use super::owner::{self, Owner};
use super::schema::{self, Found};
use super::{JournalMode, SqliteOptions, SqliteOutbox, failure, open};
use crate::error::OutboxError;
use crate::model::SalvageReport;

/// Databases up to this size are looked through at every opening, which takes a tenth of a second at most; larger
/// ones only after damage was met.
const CHECKED_BYTES: u64 = 32 << 20;

impl SqliteOutbox {
    /// As [`open`](Self::open), but a damaged file is set aside and what can be read of it is in the outbox that is
    /// opened. The report says so; `None` for a sound file.
    ///
    /// # Errors
    /// As for [`open`](Self::open), without [`OutboxError::Corrupt`]. A full disk leaves the damaged file in place.
    pub fn open_or_salvage(
        path: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<(Self, Option<SalvageReport>), OutboxError> {
        let path = open::resolve(path.as_ref())?;
        let owner = Owner::claim(&path)?;
        finish(&path)?;
        let report = match check(&path) {
            Ok(()) => None,
            Err(OutboxError::Corrupt(_)) => Some(salvage(&path)?),
            Err(other) => return Err(other),
        };
        drop(owner::open_private(&path).map_err(|error| failure::from_io(error, &path))?);
        match Self::with_owner(path.clone(), &options, owner, JournalMode::Wal) {
            // Damage that only a write finds, in a file too large to be looked through.
            Err(OutboxError::Corrupt(_)) if report.is_none() => {
                let owner = Owner::claim(&path)?;
                let report = salvage(&path)?;
                Ok((Self::with_owner(path, &options, owner, JournalMode::Wal)?, Some(report)))
            }
            opened => Ok((opened?, report)),
        }
    }

    /// Sets a damaged outbox aside and leaves a fresh one in its place, with what could be read of the old one.
    ///
    /// The old files are not changed: they get the first free name of the form `<path>.damaged-1`. Whether the file is
    /// damaged is the caller's to judge ([`Inspector::problems`](super::Inspector::problems)).
    ///
    /// # Errors
    /// [`OutboxError::Owned`] while somebody has it open; [`OutboxError::DiskFull`], as a second copy needs room; the
    /// others as named. The old outbox is still in place then.
    pub fn set_aside_and_salvage(path: impl AsRef<Path>) -> Result<SalvageReport, OutboxError> {
        let path = open::resolve(path.as_ref())?;
        let _owner = Owner::claim(&path)?;
        finish(&path)?;
        std::fs::metadata(&path).map_err(|error| failure::from_io(error, &path))?;
        salvage(&path)
    }
}

/// Whether the file is sound as far as it is looked through. Changes nothing.
fn check(path: &Path) -> Result<(), OutboxError> {
    let damaged = |what: &'static str| OutboxError::Corrupt(what.into());
    match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Err(_) => return Ok(()),
        // SQLite would take it for a new database, and remove the log, which may hold everything.
        Ok(0) if files::length(&files::beside(path, "-wal")) > 0 => {
            return Err(damaged("the database is empty and its log is not"));
        }
        Ok(0) => return Ok(()),
        Ok(_) => {}
    }
    let fail = |error| failure::from_sqlite(error, path);
    let conn = connect(path).map_err(fail)?;
    // What a look finds damaged is not to be checkpointed as it is left.
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
        files::clear_suspicion(path);
    }
    Ok(())
}

/// Under the owner's lock.
fn salvage(path: &Path) -> Result<SalvageReport, OutboxError> {
    let fail_io = |error| failure::from_io(error, path);
    let reading = files::copy_for_reading(path).map_err(fail_io)?;
    let fresh = files::clear(path, files::SALVAGING).map_err(fail_io)?;
    drop(owner::open_private(&fresh).map_err(fail_io)?);
    let recovered = pour(&reading, &fresh).map_err(|error| failure::from_sqlite(error, &fresh))?;
    files::clear(path, files::READING).map_err(fail_io)?;
    let set_aside = files::set_aside(path).map_err(fail_io)?;
    files::replace(path, &fresh).map_err(fail_io)?;
    finish(path)?;
    let rows::Recovered { rows, parked, tasks, lost } = recovered;
    Ok(SalvageReport { set_aside, rows, parked, tasks, lost })
}

/// From the copy of the damaged database into a new one. Errors are those of the new one: whatever cannot be read
/// of the old one is lost, and counted.
fn pour(reading: &Path, fresh: &Path) -> rusqlite::Result<rows::Recovered> {
    let mut new = connect(fresh)?;
    let transaction = new.transaction()?;
    schema::upgrade(&transaction, 0)?;
    transaction.commit()?;
    match connect(reading) {
        Ok(old) => rows::pour(&old, &mut new),
        Err(_) => Ok(rows::Recovered::default()),
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(conn)
}
