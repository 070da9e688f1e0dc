//! Processes that hold a lock which Levi needs.

use std::io::{Read, Write};
use std::path::Path;

use levi::outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi_outbox::rusqlite::Connection;

use crate::Error;

/// Holds SQLite's write lock on a database until standard input ends.
///
/// # Errors
/// When the lock is taken.
pub fn write_lock(path: &Path) -> Result<(), Error> {
    let conn = Connection::open(path)?;
    conn.execute_batch("BEGIN IMMEDIATE")?;
    until_stdin_ends()
}

/// Owns an outbox until standard input ends.
///
/// # Errors
/// When the outbox cannot be opened or has an owner.
pub fn outbox(path: &Path) -> Result<(), Error> {
    let _outbox = SqliteOutbox::open(path, SqliteOptions::default())?;
    until_stdin_ends()
}

fn until_stdin_ends() -> Result<(), Error> {
    std::io::stdout().lock().write_all(b"held\n")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
