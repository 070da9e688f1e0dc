//! What rows may replace on the server, where that is unusual.

use rusqlite::{Connection, Result, Row};

use crate::model::Overwrite;

pub(super) const SET: &str = "INSERT INTO levi_overwrites (id, version, mode) VALUES (?1, ?2, ?3) \
     ON CONFLICT (id) DO UPDATE SET version = excluded.version, mode = excluded.mode";
/// An edit keeps the permission to replace any text, and nothing else.
pub(super) const EDITED: &str = "DELETE FROM levi_overwrites WHERE id = ?1 AND mode <> 1";
/// The server has the version for which the permission was given.
pub(super) const USED: &str = "DELETE FROM levi_overwrites WHERE id = ?1 AND version <= ?2";
const FORGET_GONE: &str = "DELETE FROM levi_overwrites \
     WHERE NOT EXISTS (SELECT 1 FROM levi_outbox AS o NOT INDEXED WHERE o.id = levi_overwrites.id) \
     AND NOT EXISTS (SELECT 1 FROM levi_parked AS p NOT INDEXED WHERE p.id = levi_overwrites.id)";

/// The mode of a row, as a column of a query; `$id` is the row's.
macro_rules! overwrite_mode {
    ($id:literal) => {
        concat!("(SELECT mode FROM levi_overwrites AS w WHERE w.id = ", $id, ")")
    };
}
pub(super) use overwrite_mode;

/// Reads [`overwrite_mode`]. A value that only a damaged file has counts as `Nothing`.
pub(super) fn of_column(row: &Row<'_>, column: usize) -> Result<Overwrite> {
    Ok(of_mode(row.get(column)?))
}

pub(super) const fn of_mode(mode: Option<i64>) -> Overwrite {
    match mode {
        None => Overwrite::OwnOnly,
        Some(1) => Overwrite::Anything,
        Some(_) => Overwrite::Nothing,
    }
}

const fn mode(overwrite: Overwrite) -> Option<i64> {
    match overwrite {
        Overwrite::OwnOnly => None,
        Overwrite::Anything => Some(1),
        Overwrite::Nothing => Some(2),
    }
}

/// A row is new.
pub(super) fn added(conn: &Connection, id: i64, version: i64, overwrite: Overwrite) -> Result<()> {
    match mode(overwrite) {
        Some(mode) => conn.prepare_cached(SET)?.execute([id, version, mode]).map(drop),
        None => Ok(()),
    }
}

/// A row, pending or parked, has another payload.
pub(super) fn replaced(conn: &Connection, id: i64, version: i64, overwrite: Overwrite) -> Result<()> {
    match overwrite {
        Overwrite::OwnOnly => conn.prepare_cached(EDITED)?.execute([id]).map(drop),
        _ => added(conn, id, version, overwrite),
    }
}

/// The server has a version of a row that was replaced in flight.
pub(super) fn used(conn: &Connection, id: i64, version: u32) -> Result<()> {
    conn.prepare_cached(USED)?.execute((id, version)).map(drop)
}

/// The rows that have left the outbox need no entry.
pub(super) fn forget_gone(conn: &Connection) -> Result<()> {
    conn.execute(FORGET_GONE, []).map(drop)
}
