//! A damaged outbox is quarantined unchanged, and the rows that can be read go into a fresh one.
//!
//! The order of the steps keeps a kill or a power cut between them from losing anything: the
//! damaged files keep their names until the fresh outbox is whole and on disk. Its name
//! `.recovered` is the point of no return, from which the next open completes the recovery.

mod check;
mod files;
mod log;
mod numbers;
mod overflow;
mod pages;
mod record;
pub mod records;
mod rows;
mod scan;
mod users;

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use self::check::Finding;
pub(super) use self::files::{finish, is_interrupted, mark_suspect, quarantined_bytes};
use self::pages::Pages;
use self::rows::Recovered;
use self::scan::Scan;
use super::owner_lock::{self, OwnerLock};
use super::repair_lock::RepairLock;
use super::{JournalMode, SqliteOptions, SqliteOutbox, failure, integrity, open, schema, space};
use crate::error::OutboxError;
use crate::model::RecoveryReport;

/// The users of the database at `path`.
#[cfg(test)]
pub(super) fn users(path: &Path) -> std::io::Result<users::Users> {
    Ok(scan(path)?.1.users)
}

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
        let report = recover_if_damaged(&path)?;
        drop(owner_lock::open_private(&path).map_err(|error| failure::from_io(error, &path))?);
        match Self::with_owner(path.clone(), &options, owner, JournalMode::Wal) {
            // Damage that only a write finds, in a file too large to be checked at every open.
            Err(error @ OutboxError::Corrupt(_)) if report.is_none() => {
                let owner = OwnerLock::acquire(&path)?;
                let report = recover(&path, check::describe(&error))?;
                Ok((Self::with_owner(path, &options, owner, JournalMode::Wal)?, Some(report)))
            }
            opened => Ok((opened?, report)),
        }
    }

    /// Checks the whole file, whatever its size, and repairs what is damaged as
    /// [`open_or_recover`](Self::open_or_recover) does. The report is `None` for a file whose rows
    /// are all sound.
    ///
    /// # Errors
    /// [`OutboxError::Owned`] while another process has it open; [`OutboxError::CannotOpen`] if it is
    /// damaged and the daemon's own database; the others as named. The outbox is
    /// as it was then.
    pub fn repair(path: impl AsRef<Path>) -> Result<Option<RecoveryReport>, OutboxError> {
        let path = open::resolve(path.as_ref())?;
        let _owner = OwnerLock::acquire(&path)?;
        finish(&path)?;
        std::fs::metadata(&path).map_err(|error| failure::from_io(error, &path))?;
        mark_suspect(&path);
        recover_if_damaged(&path)
    }

    /// Quarantines a damaged outbox and leaves a fresh one in its place, with the rows that could
    /// be read.
    ///
    /// The damaged files are not changed: they get the next name of the form `<path>.damaged-1`. The
    /// newest four such files are kept, or fewer if they take more than 1 GiB. The caller decides whether the file is damaged
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
        recover(&path, "the file was given up".to_owned())
    }
}

/// Checks the file and repairs it. The caller holds the owner's lock.
fn recover_if_damaged(path: &Path) -> Result<Option<RecoveryReport>, OutboxError> {
    let report = match check::check(path)? {
        Finding::Damaged(cause) => return recover(path, cause).map(Some),
        Finding::Disagrees(what) => {
            tracing::warn!("{what} in the outbox: put right from its rows");
            mend(path).map_err(|error| failure::from_sqlite(error, path))?;
            None
        }
        Finding::Sound => None,
    };
    files::clear_suspect(path);
    Ok(report)
}

fn mend(path: &Path) -> rusqlite::Result<()> {
    let mut conn = connect(path)?;
    let transaction = conn.transaction()?;
    integrity::mend(&transaction)?;
    transaction.commit()
}

/// The caller holds the owner's lock.
fn recover(path: &Path, cause: String) -> Result<RecoveryReport, OutboxError> {
    let _no_change = RepairLock::exclusive(path)?;
    let fail_io = |error| failure::from_io(error, path);
    files::remove_leftover(path, files::READING_BEFORE).map_err(fail_io)?;
    files::remove_leftover(path, files::RECOVERING_BEFORE).map_err(fail_io)?;
    let fresh = files::remove_leftover(path, files::RECOVERING).map_err(fail_io)?;
    drop(owner_lock::open_private(&fresh).map_err(fail_io)?);
    let recovered = copy_rows(path, &fresh)?;
    let quarantined = files::quarantine(path).map_err(fail_io)?;
    files::replace(path, &fresh).map_err(fail_io)?;
    files::complete(path)?;
    files::remove_oldest_quarantined(path);
    let Recovered { rows, parked, control_rows, uncertain, lost } = recovered;
    Ok(RecoveryReport { quarantined, cause, rows, parked, control_rows, uncertain, lost })
}

/// Copies the rows of the damaged database to a new one. Errors are those of the new one: a row
/// that cannot be read is lost, and counted.
fn copy_rows(path: &Path, fresh: &Path) -> Result<Recovered, OutboxError> {
    let fail_io = |error| failure::from_io(error, path);
    let (pages, scan) = scan(path).map_err(fail_io)?;
    if let Some(table) = records::table_of_the_daemon(&pages) {
        let refusal = format!(
            "it is damaged, and has a table of the daemon's own ({table}), which a recovery would lose; repair it with its \
             own tools"
        );
        return Err(failure::cannot_open(refusal, path));
    }
    let copy = || {
        let mut new = connect(fresh)?;
        space::prepare(&new)?;
        let transaction = new.transaction()?;
        schema::upgrade(&transaction, 0)?;
        transaction.commit()?;
        rows::copy_rows(&pages, scan, &mut new)
    };
    copy().map_err(|error| failure::from_sqlite(error, fresh))
}

/// Of the sizes that pages may have, the one with which most rows are found.
fn scan(path: &Path) -> std::io::Result<(Pages, Scan)> {
    let mut best: Option<(Pages, Scan)> = None;
    for page_size in Pages::candidate_sizes(path)? {
        let pages = Pages::open(path, page_size)?;
        let scan = Scan::of(&pages);
        if best.as_ref().is_none_or(|(_, best)| scan.candidates.len() > best.candidates.len()) {
            best = Some((pages, scan));
        }
    }
    best.ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(conn)
}
