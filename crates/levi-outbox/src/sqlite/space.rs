//! Giving free space back to the file system, a few pages at a time.
//!
//! SQLite keeps the pages of removed rows for later ones. The database is made with incremental
//! auto-vacuum, so that its last pages can be moved to free ones and cut off.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use super::columns::unsigned;
use super::{log_reader, open};
use crate::model::Space;

/// A database without auto-vacuum, from a version before schema 4, is written anew at an open where
/// no more than this is in use: once, in a tenth of a second.
const REWRITTEN_BYTES: u64 = 32 << 20;

/// SQLite's number for `INCREMENTAL`.
const INCREMENTAL: u64 = 2;

/// Before the first table is created: later the setting has no effect.
pub(super) fn prepare(conn: &Connection) -> Result<()> {
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 { conn.pragma_update(None, "auto_vacuum", "INCREMENTAL") } else { Ok(()) }
}

/// Gives an older database incremental auto-vacuum, if that costs little. The database stays as it
/// is where the disk has no room for a copy.
pub(super) fn convert(conn: &Connection) -> Result<()> {
    if !is_incremental(conn)? && live_bytes(conn)? <= REWRITTEN_BYTES {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        if let Err(error) = conn.execute_batch("VACUUM") {
            tracing::warn!("the outbox cannot be made to give space back: {error}");
        }
    }
    Ok(())
}

/// What the database at `path` takes, without damaged files. The log is not known to be held.
pub(super) fn used(conn: &Connection, path: &Path) -> Result<Space> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let pages = bytes(conn, "PRAGMA page_count")?;
    // Pages that were cut off stay in the file until the log is moved into it.
    let file_bytes = length(path).max(pages);
    let free_bytes = file_bytes - pages.saturating_sub(pages_to_cut_off(conn)?);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log_bytes = length(Path::new(&log));
    let is_long = log_bytes > u64::from(open::WAL_BYTES_KEPT);
    let log_reader = if is_long { log_reader::find(path) } else { None };
    Ok(Space { file_bytes, free_bytes, log_bytes, quarantined_bytes: 0, log_is_held: false, log_reader })
}

/// Bytes of free pages that can be cut off: none in a database without incremental auto-vacuum.
pub(super) fn pages_to_cut_off(conn: &Connection) -> Result<u64> {
    if is_incremental(conn)? { bytes(conn, "PRAGMA freelist_count") } else { Ok(0) }
}

/// Bytes of the pages in use.
fn live_bytes(conn: &Connection) -> Result<u64> {
    Ok(bytes(conn, "PRAGMA page_count")?.saturating_sub(bytes(conn, "PRAGMA freelist_count")?))
}

fn is_incremental(conn: &Connection) -> Result<bool> {
    Ok(number(conn, "PRAGMA auto_vacuum")? == INCREMENTAL)
}

/// The bytes of the pages that `pragma` counts.
fn bytes(conn: &Connection, pragma: &str) -> Result<u64> {
    Ok(number(conn, pragma)?.saturating_mul(number(conn, "PRAGMA page_size")?))
}

fn number(conn: &Connection, pragma: &str) -> Result<u64> {
    conn.prepare_cached(pragma)?.query_row([], |row| row.get(0)).map(unsigned)
}

/// Cuts free pages off the database for about as long as `step`. Nothing is synced: the next commit
/// that is makes it durable, and until then a power cut only brings the free pages back. The log is
/// not moved either, because that syncs.
pub(super) fn cut_off_free_pages(conn: &Connection, step: Duration) -> Result<()> {
    let settings = [("synchronous", "NORMAL"), ("wal_autocheckpoint", "0")];
    let before = settings.map(|(name, _)| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)));
    for (name, value) in settings {
        conn.pragma_update(None, name, value)?;
    }
    let cut = cut_off(conn, step);
    for ((name, _), value) in settings.iter().zip(before) {
        conn.pragma_update(None, name, value?)?;
    }
    cut
}

fn cut_off(conn: &Connection, step: Duration) -> Result<()> {
    let transaction = conn.unchecked_transaction()?;
    let started = Instant::now();
    {
        let mut vacuum = transaction.prepare_cached("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        // Each step of the statement cuts off one page.
        while pages.next()?.is_some() && started.elapsed() < step {}
    }
    transaction.commit()
}

/// Empties the log, which was moved into the database before. Returns whether a reader prevents
/// that; it is not waited for.
pub(super) fn empty_log(conn: &Connection, busy_timeout: Duration) -> Result<bool> {
    conn.busy_timeout(Duration::ZERO)?;
    let held = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    conn.busy_timeout(busy_timeout)?;
    held
}
