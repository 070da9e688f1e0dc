//! Giving free space back to the file system, a few pages at a time.
//!
//! SQLite keeps the pages of removed rows for later ones. The database is made with incremental
//! auto-vacuum, so that its last pages can be moved to free ones and cut off.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};

use crate::model::Space;

/// A database without auto-vacuum, from a version before schema 4, is written anew at an open where
/// no more than this is in use: once, in a tenth of a second.
const REWRITTEN_BYTES: u64 = 32 << 20;

/// SQLite's number for `INCREMENTAL`.
const INCREMENTAL: i64 = 2;

/// Before the first table is created: later the setting has no effect.
pub(super) fn prepare(conn: &Connection) -> Result<()> {
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    if pages == 0 { conn.pragma_update(None, "auto_vacuum", INCREMENTAL) } else { Ok(()) }
}

/// Gives an older database incremental auto-vacuum, if that costs little. The database stays as it
/// is where the disk has no room for a copy.
pub(super) fn convert(conn: &Connection, path: &Path) -> Result<()> {
    let mode: i64 = conn.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    let Space { file_bytes, free_bytes, .. } = used(conn, path)?;
    if mode != INCREMENTAL && file_bytes - free_bytes <= REWRITTEN_BYTES {
        conn.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
        if let Err(error) = conn.execute_batch("VACUUM") {
            tracing::warn!("the outbox cannot be made to give space back: {error}");
        }
    }
    Ok(())
}

/// What the database at `path` takes. The log is not known to be held.
pub(super) fn used(conn: &Connection, path: &Path) -> Result<Space> {
    let number = |pragma| conn.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
    let page_size = number("PRAGMA page_size")?;
    let bytes = |pages: i64| u64::try_from(pages.saturating_mul(page_size)).unwrap_or(0);
    let file_bytes = bytes(number("PRAGMA page_count")?);
    let free_bytes = bytes(number("PRAGMA freelist_count")?).min(file_bytes);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log_bytes = fs::metadata(log).map_or(0, |metadata| metadata.len());
    Ok(Space { file_bytes, free_bytes, log_bytes, log_is_held: false })
}

/// Cuts free pages off the database for about as long as `step`. The commit is not synced: the next
/// one that is makes it durable, and until then a power cut only brings the free pages back.
pub(super) fn cut_off_free_pages(conn: &Connection, step: Duration) -> Result<()> {
    let synchronous: i64 = conn.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    let cut = cut_off(conn, step);
    conn.pragma_update(None, "synchronous", synchronous)?;
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

/// Moves the log into the database and empties it. Returns whether a reader prevents that; it is not
/// waited for.
pub(super) fn empty_log(conn: &Connection, busy_timeout: Duration) -> Result<bool> {
    conn.busy_timeout(Duration::ZERO)?;
    let held = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    conn.busy_timeout(busy_timeout)?;
    held
}
