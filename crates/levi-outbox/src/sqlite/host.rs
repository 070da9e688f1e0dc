//! For a daemon that keeps the outbox in its own database, and so writes its own row and the outbox
//! row in one transaction.

use std::path::PathBuf;

use rusqlite::{Connection, Result, Transaction};

use super::counters::Counters;
use super::lane_cache::LaneCache;
use super::open::{self, refuse_newer};
use super::schema::{self, Found};
use super::{enqueue, failure};
use crate::error::OutboxError;
use crate::model::{Enqueued, NewRow};

/// Creates the `levi_` tables, or migrates them to this version, all or nothing: inside the
/// caller's transaction if there is one, otherwise in one of its own.
///
/// # Errors
/// [`OutboxError::NewerSchema`] if a newer Levi has written the tables: nothing was changed then.
/// The others as named.
pub fn migrate_in(conn: &Connection) -> Result<(), OutboxError> {
    let fail = |error| failure::from_sqlite(error, &path(conn));
    if conn.is_autocommit() {
        return open::upgrade(conn).map_err(fail)?;
    }
    let found = schema::find(conn).map_err(fail)?;
    refuse_newer(found)?;
    let Found::Older(from) = found else { return Ok(()) };
    nested(conn, || schema::upgrade(conn, from)).map_err(fail)
}

/// Stores `rows` inside the caller's transaction. The answers are in the order of `rows`. After the
/// commit, wake the owner: through its own handle in the owner process,
/// [`notify_owner`](super::notify::notify_owner) in another one.
///
/// Payloads are stored as they are: encrypt them first, under the session's key or the database
/// key.
///
/// # Errors
/// [`OutboxError`]; none of the rows was stored then, even if the caller commits the transaction.
pub fn enqueue_in(
    transaction: &Transaction<'_>,
    rows: &[NewRow],
    max_pending_bytes: u64,
) -> Result<Vec<Enqueued>, OutboxError> {
    nested(transaction, || {
        let (mut counters, mut lanes) = (Counters::load(transaction)?, LaneCache::default());
        let answers = enqueue::store_rows(transaction, &mut counters, &mut lanes, rows, max_pending_bytes)?;
        counters.save(transaction)?;
        Ok(answers)
    })
    .map_err(|error| failure::from_sqlite(error, &path(transaction)))
}

/// Runs `work` in a savepoint, so that it is all or nothing inside a transaction that may go on
/// after an error.
fn nested<T>(conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    conn.execute_batch("SAVEPOINT levi")?;
    match work() {
        Ok(done) => conn.execute_batch("RELEASE levi").map(|()| done),
        Err(error) => {
            // After some errors SQLite has rolled back everything by itself, and this has nothing
            // left to do.
            let _ = conn.execute_batch("ROLLBACK TO levi; RELEASE levi");
            Err(error)
        }
    }
}

fn path(conn: &Connection) -> PathBuf {
    conn.path().map_or_else(PathBuf::new, PathBuf::from)
}
