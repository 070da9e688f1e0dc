//! Whether a file is sound, before anything is written to it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::schema::{self, Found};
use super::super::{failure, integrity};
use super::{files, pages};
use crate::error::OutboxError;

/// Databases up to this size are checked whole at every open, which takes a few tenths of a second
/// at most; larger ones only if a quick check or an error has found something.
const CHECKED_BYTES: u64 = 32 << 20;

/// How many steps of SQLite's virtual machine go by between two looks at the budget.
const STEPS: u32 = 10_000;

/// Steps for each byte of the file, and for an empty one. A check of a sound file takes less than a
/// tenth of it. A file may be made so that a query never ends.
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
    match check_tables(path).map_err(|error| failure::from_sqlite(error, path)) {
        Ok(checked) => checked,
        Err(error @ OutboxError::Corrupt(_)) => Ok(Finding::Damaged(describe(&error))),
        // A statement of ours fails on a sound file only where the system does.
        Err(error @ OutboxError::Other(_)) if !is_of_the_system(&error) => {
            Ok(Finding::Damaged(describe(&error)))
        }
        Err(error) => Err(error),
    }
}

fn check_tables(path: &Path) -> rusqlite::Result<Result<Finding, OutboxError>> {
    let mut conn = connect(path)?;
    limit_steps(&mut conn, files::length(path));
    let found = schema::find(&conn)?;
    if let Found::Newer(found) = found {
        return Ok(Err(OutboxError::NewerSchema { found, known: schema::KNOWN }));
    }
    if let Some(damage) = schema::damage(&conn, found)? {
        return Ok(Ok(Finding::Damaged(damage)));
    }
    let is_whole = files::is_suspect(path) || files::length(path) <= CHECKED_BYTES;
    // An older version's tables are checked by SQLite alone; the migration counts their rows.
    if found != Found::Current {
        let problem = if is_whole { integrity::of_file(&conn)? } else { None };
        return Ok(Ok(problem.map_or(Finding::Sound, Finding::Damaged)));
    }
    let quick = integrity::quick(&conn)?;
    if !is_whole && quick.is_none() {
        return Ok(Ok(Finding::Sound));
    }
    if let Some(problem) = integrity::of_file(&conn)?.or(integrity::of_rows(&conn)?) {
        return Ok(Ok(Finding::Damaged(problem)));
    }
    let disagreement = integrity::of_counts(&conn)?;
    Ok(Ok(disagreement.map_or(Finding::Sound, Finding::Disagrees)))
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

/// Interrupts the check when it takes more steps than that of a sound file of this length does.
fn limit_steps(conn: &mut Connection, length: u64) {
    let budget = length.saturating_mul(STEPS_PER_BYTE).max(STEPS_AT_LEAST) / u64::from(STEPS);
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
