//! The tables, and how older files get them.
//!
//! The version lives in a table of our own and not in `user_version`, which belongs to the host's database.

use rusqlite::{Connection, OptionalExtension, Result};

/// Each script takes the schema one version up, from zero (no tables).
const SCRIPTS: &[&str] = &[include_str!("schema-1.sql"), include_str!("schema-2.sql")];

/// The newest schema this version can read.
pub(super) const KNOWN: i64 = SCRIPTS.len() as i64;

/// What a look at the file says about its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing to do.
    Current,
    /// Made by an older Levi, or not there at all (zero).
    Older(i64),
    /// Made by a newer Levi: touch nothing.
    Newer(i64),
}

/// Reads the schema's version and nothing else. Fails on a file that is no database.
pub(super) fn find(conn: &Connection) -> Result<Found> {
    let table = conn
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'levi_schema'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if table.is_none() {
        return Ok(Found::Older(0));
    }
    let version: i64 = conn.query_row("SELECT version FROM levi_schema", [], |row| row.get(0))?;
    Ok(match version {
        newer if newer > KNOWN => Found::Newer(newer),
        KNOWN => Found::Current,
        older => Found::Older(older),
    })
}

/// Brings the tables up to date. Runs inside the caller's transaction.
pub(super) fn upgrade(conn: &Connection, from: i64) -> Result<()> {
    if from == 0 {
        conn.execute_batch(
            "CREATE TABLE levi_schema (version INTEGER NOT NULL) STRICT; INSERT INTO levi_schema VALUES (0);",
        )?;
    }
    for script in SCRIPTS.iter().skip(usize::try_from(from).unwrap_or(0)) {
        conn.execute_batch(script)?;
    }
    conn.execute("UPDATE levi_schema SET version = ?1", [KNOWN])?;
    Ok(())
}
