//! Whether the file is sound.

use std::io;
use std::path::Path;

use levi_outbox::sqlite::records;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use levi_crypto::at_rest::DatabaseKey;

use super::cipher::Cipher;
use super::failure::Failure;
use super::records::{REPOSITORIES, SECRETS, SESSIONS};
use super::schema;

/// A file with its log up to this size is checked whenever it is opened, which takes milliseconds for each megabyte.
const CHECKED_BYTES: u64 = 16 << 20;

/// The tables of the present schema, without the one of the schema itself.
pub(super) const TABLES: [&str; 8] = [
    "levi_store_repositories",
    "levi_store_sessions",
    "levi_store_secrets",
    "levi_store_received",
    "levi_store_progress",
    "levi_store_unsent",
    "levi_store_device_list",
    "levi_store_epoch_starts",
];

/// Refuses a damaged file, if it is small enough to be checked now.
pub(super) fn check_if_small(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let bytes = length(path).saturating_add(length(&super::repair::beside(path, "-wal")));
    if bytes > CHECKED_BYTES {
        return Ok(());
    }
    match problems_of(connection)?.into_iter().next() {
        Some(problem) => Err(Failure::Damaged(problem)),
        None => Ok(()),
    }
}

/// What SQLite does not see when it opens the file: damage in its header, and whole commits behind damage in its log.
pub(super) fn of_log(path: &Path) -> io::Result<Option<String>> {
    let Some(found) = records::damage(path)? else { return Ok(None) };
    // A connection of the daemon's own to its database may have begun the log anew while it was read.
    Ok(records::damage(path)?.filter(|again| *again == found))
}

/// What is wrong with the file at `path`, whatever its size. Leaves the file and its log as they are.
pub(super) fn problems(path: &Path) -> Result<Vec<String>, Failure> {
    match open(path).and_then(|connection| problems_of(&connection)) {
        Err(error) if error.is_damage() => Ok(vec![error.to_string()]),
        checked => checked,
    }
}

/// What a repair of the file at `path` mends; `None` if it is sound. Nobody else may have the file open.
pub(super) fn damage(path: &Path, key: DatabaseKey) -> Result<Option<String>, Failure> {
    let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
    // Before SQLite opens the file.
    if let Some(of_log) = of_log(path).map_err(fail)? {
        return Ok(Some(of_log));
    }
    match problems(path)?.into_iter().next() {
        Some(problem) => Ok(Some(problem)),
        None => Ok(unreadable(path, key)?.into_iter().next()),
    }
}

/// The sealed records that `key` does not open, though it opens others. SQLite cannot tell that they are damaged.
pub(super) fn unreadable(path: &Path, key: DatabaseKey) -> Result<Vec<String>, Failure> {
    let (connection, cipher) = (open(path)?, Cipher::new(key));
    // The tables of an older version are checked once they are migrated.
    if schema::check(&connection, &cipher)? != schema::known() {
        return Ok(Vec::new());
    }
    let mut unreadable = Vec::new();
    for records in [REPOSITORIES, SESSIONS, SECRETS] {
        unreadable.extend(records.unreadable(&connection, &cipher)?);
    }
    Ok(unreadable)
}

fn open(path: &Path) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn problems_of(connection: &Connection) -> Result<Vec<String>, Failure> {
    let Some(version) = schema::version(connection)? else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    for table in TABLES.into_iter().chain(["levi_store_schema"]) {
        if !schema::has_table(connection, table)? {
            if version == schema::known() {
                problems.push(format!("the table {table} is missing"));
            }
            continue;
        }
        let mut check = connection.prepare(&format!("PRAGMA integrity_check('{table}')"))?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let found: String = row.get(0)?;
            if found != "ok" {
                problems.push(found);
            }
        }
    }
    Ok(problems)
}
