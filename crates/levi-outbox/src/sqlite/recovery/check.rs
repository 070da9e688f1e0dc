//! Whether a file is sound, before anything is written to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::schema::{self, Found};
use super::super::{failure, integrity};
use super::{files, pages};
use crate::error::OutboxError;

/// Databases that are with their log up to this size are checked whole at every open, which takes a few tenths of a second
/// at most; larger ones only if a quick check or an error has found something.
const CHECKED_BYTES: u64 = 32 << 20;

/// How many steps of SQLite's virtual machine go by between two looks at the budget.
const STEPS: u32 = 10_000;

/// Steps for each byte of the file and its log, and for an empty one. A check of a sound file takes
/// less than a tenth of it. A file may be made so that a query never ends.
const STEPS_PER_BYTE: u64 = 4;
const STEPS_AT_LEAST: u64 = 50_000_000;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Sound,
    /// The rows are sound, but the counts or the lanes do not agree with them.
    Disagrees(String),
    Damaged(String),
}

/// Checks the database at `path`: whole, if it is small or damage was met in use. Changes nothing.
pub(super) fn check(path: &Path) -> Result<Finding, OutboxError> {
    if !path.exists() {
        return Ok(Finding::Sound);
    }
    let in_header = pages::damage(path).map_err(|error| failure::from_io(error, path))?;
    if let Some(damage) = in_header {
        return Ok(Finding::Damaged(damage));
    }
    let budget = bytes_to_read(path).saturating_mul(STEPS_PER_BYTE).max(STEPS_AT_LEAST);
    check_within(budget, path)
}

/// As [`check`], with at most so many steps of SQLite's virtual machine.
fn check_within(budget: u64, path: &Path) -> Result<Finding, OutboxError> {
    match check_tables(budget, path).map_err(|error| failure::from_sqlite(error, path)) {
        Ok(checked) => checked,
        Err(error @ OutboxError::Corrupt(_)) => Ok(Finding::Damaged(describe(&error))),
        // A statement of ours fails on a sound file only where the system does.
        Err(error @ OutboxError::Other(_)) if !is_of_the_system(&error) => {
            Ok(Finding::Damaged(describe(&error)))
        }
        Err(error) => Err(error),
    }
}

/// The database and its log: what is not checkpointed yet is read from there.
fn bytes_to_read(path: &Path) -> u64 {
    files::length(path).saturating_add(files::length(&files::beside(path, "-wal")))
}

fn check_tables(budget: u64, path: &Path) -> rusqlite::Result<Result<Finding, OutboxError>> {
    let mut conn = connect(path)?;
    limit_steps(&mut conn, budget);
    let found = schema::find(&conn)?;
    if let Found::Newer(found) = found {
        return Ok(Err(OutboxError::NewerSchema { found, known: schema::KNOWN }));
    }
    if let Some(damage) = schema::damage(&conn, found)? {
        return Ok(Ok(Finding::Damaged(damage)));
    }
    let is_suspect = files::is_suspect(path);
    let is_whole = is_suspect || bytes_to_read(path) <= CHECKED_BYTES;
    // An older version's tables are checked by SQLite alone; the migration counts their rows.
    if found != Found::Current {
        let problem =
            if is_whole { unless_interrupted(integrity::of_file(&conn), is_suspect)? } else { None };
        return Ok(Ok(problem.map_or(Finding::Sound, Finding::Damaged)));
    }
    let quick = unless_interrupted(integrity::quick(&conn), is_suspect)?;
    if !is_whole && quick.is_none() {
        return Ok(Ok(Finding::Sound));
    }
    let has_found = is_suspect || quick.is_some();
    let whole = integrity::of_file(&conn).and_then(|problem| match problem {
        None => integrity::of_rows(&conn),
        problem => Ok(problem),
    });
    let whole = whole.and_then(|problem| match problem {
        None => integrity::of_values(&conn),
        problem => Ok(problem),
    });
    if let Some(problem) = unless_interrupted(whole, has_found)? {
        return Ok(Ok(Finding::Damaged(problem)));
    }
    let disagreement = unless_interrupted(integrity::of_counts(&conn), has_found)?;
    Ok(Ok(disagreement.map_or(Finding::Sound, Finding::Disagrees)))
}

/// That a check takes long is damage only if something else was found: a sound file is never
/// quarantined because it is larger than it looks.
fn unless_interrupted(
    check: rusqlite::Result<Option<String>>,
    has_found: bool,
) -> rusqlite::Result<Option<String>> {
    match check {
        Err(error)
            if !has_found && error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) =>
        {
            tracing::warn!("a check of the outbox takes too long and is left out");
            Ok(None)
        }
        check => check,
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    // A damaged file must not be checkpointed when this connection closes.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // Nothing in a file that somebody made is run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    Ok(conn)
}

/// Interrupts each statement from then on when there were more steps than `budget`.
fn limit_steps(conn: &mut Connection, budget: u64) {
    let budget = budget / u64::from(STEPS);
    let mut looks = 0;
    let is_over = move || {
        looks += 1;
        looks > budget
    };
    // Some versions of rusqlite answer with a result here.
    let _ = conn.progress_handler(i32::try_from(STEPS).unwrap_or(i32::MAX), Some(is_over));
}

/// Whether the system failed, and not the file: no memory, or a disk that does not answer.
fn is_of_the_system(error: &OutboxError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<rusqlite::Error>());
    let code = source.and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(rusqlite::ErrorCode::OutOfMemory | rusqlite::ErrorCode::SystemIoFailure))
}

pub(super) fn describe(error: &OutboxError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tests::row;
    use crate::sqlite::{SqliteOptions, SqliteOutbox};
    use crate::store::OutboxStore as _;

    #[test]
    fn a_check_that_takes_too_long_is_damage_only_where_damage_was_met() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("outbox.sqlite");
        let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
        let rows: Vec<_> = (0..5_000).map(|number| row("s", number)).collect();
        outbox.commit(&[], &rows).unwrap();
        drop(outbox);
        assert_eq!(check(&path).unwrap(), Finding::Sound);
        assert_eq!(check_within(0, &path).unwrap(), Finding::Sound);
        files::mark_suspect(&path);
        assert!(matches!(check_within(0, &path).unwrap(), Finding::Damaged(_)));
        assert_eq!(check(&path).unwrap(), Finding::Sound);
    }
}
