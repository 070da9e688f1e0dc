//! Another process that is in the way.

use std::io::{Read, Write};
use std::path::Path;

use levi::{SqliteOptions, SqliteOutbox};
use levi_outbox::rusqlite::Connection;

use crate::Trouble;

/// Holds SQLite's write lock on a database until standard input ends.
///
/// # Errors
/// When the lock cannot be had.
pub fn write_lock(path: &Path) -> Result<(), Trouble> {
    let conn = Connection::open(path)?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    until_told()
}

/// Owns an outbox until standard input ends.
///
/// # Errors
/// When it cannot be had.
pub fn outbox(path: &Path) -> Result<(), Trouble> {
    let _outbox = SqliteOutbox::open(path, SqliteOptions::default())?;
    until_told()
}

fn until_told() -> Result<(), Trouble> {
    std::io::stdout().lock().write_all(b"held\n")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
