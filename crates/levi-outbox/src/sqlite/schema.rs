//! The tables, and how older files get them.
//!
//! The version is in a table of its own and not in `user_version`, which belongs to the daemon's
//! database.

use rusqlite::{Connection, OptionalExtension, Result};

use super::blocking;

/// Each script takes the schema one version up, from zero (no tables).
const SCRIPTS: &[&str] = &[
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
    include_str!("schema-6.sql"),
    include_str!("schema-7.sql"),
];

/// The newest schema this version can read.
pub(super) const KNOWN: i64 = SCRIPTS.len() as i64;

/// The schema of a file, compared with this version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The same.
    Current,
    /// Written by an older Levi, or not there at all (zero).
    Older(i64),
    /// Written by a newer Levi: nothing may be changed.
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

/// Compares the schema of a file of ours with the scripts of its version. SQLite runs what a file's
/// schema says, so a text that was damaged, or put there by somebody, must not stay.
pub(super) fn damage(conn: &Connection, found: Found) -> Result<Option<String>> {
    let version = match found {
        Found::Current => KNOWN,
        Found::Older(version) | Found::Newer(version) => version,
    };
    let expected = Connection::open_in_memory()?;
    if version != 0 {
        upgrade_to(&expected, 0, version)?;
    }
    let (expected, found) = (objects(&expected)?, objects(conn)?);
    let of_ours = |object: &&Object| object.table.starts_with("levi_") || RUNS.contains(&&*object.kind);
    let foreign = found.iter().filter(of_ours).find(|object| !expected.contains(object));
    let missing = expected.iter().find(|object| !found.contains(object));
    let name = |object: &Object| format!("the schema of {} is damaged", object.name);
    Ok(foreign.or(missing).map(name))
}

/// Objects of the schema that SQLite runs by itself.
const RUNS: [&str; 2] = ["trigger", "view"];

#[derive(PartialEq, Eq)]
struct Object {
    kind: String,
    name: String,
    table: String,
    sql: Option<String>,
}

fn objects(conn: &Connection) -> Result<Vec<Object>> {
    let mut objects = conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let object = |row: &rusqlite::Row<'_>| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    };
    objects.query_map([], object)?.collect()
}

/// Brings the tables up to date. Runs inside the caller's transaction.
pub(super) fn upgrade(conn: &Connection, from: i64) -> Result<()> {
    upgrade_to(conn, from, KNOWN)?;
    blocking::refresh_all(conn)
}

fn upgrade_to(conn: &Connection, from: i64, to: i64) -> Result<()> {
    if from == 0 {
        conn.execute_batch(
            "CREATE TABLE levi_schema (version INTEGER NOT NULL) STRICT; INSERT INTO levi_schema VALUES (0);",
        )?;
    }
    for (version, script) in (1..=to).zip(SCRIPTS).filter(|(version, _)| *version > from) {
        if version == 3 && from > 0 {
            log_unknown_tasks(conn)?;
        }
        conn.execute_batch(script)?;
    }
    conn.execute("UPDATE levi_schema SET version = ?1", [to]).map(drop)
}

/// Schema 3 takes over the tasks whose names it understands. No version has written others.
fn log_unknown_tasks(conn: &Connection) -> Result<()> {
    let mut unknown = conn.prepare(
        "SELECT name FROM levi_tasks WHERE NOT \
         (name GLOB 'repository/*' OR name GLOB 'session/*' OR name GLOB 'secret/*')",
    )?;
    let mut names = unknown.query([])?;
    while let Some(row) = names.next()? {
        let name: String = row.get(0)?;
        tracing::warn!(%name, "a task of an unknown kind is dropped from the outbox");
    }
    Ok(())
}
