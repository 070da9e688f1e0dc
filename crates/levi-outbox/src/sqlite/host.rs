//! For a daemon that keeps the outbox in its own database, and so can write its own row and the outbox row in
//! one transaction.

use std::path::PathBuf;

use rusqlite::{Connection, Result, Transaction};

use super::lanes::Lanes;
use super::open::refuse_newer;
use super::schema::{self, Found};
use super::{enqueue, failure};
use crate::error::OutboxError;
use crate::model::{Enqueued, NewRow};
use crate::sqlite::ledger::Ledger;

/// Creates the `levi_` tables, or brings them up to date, all or nothing. Inside a transaction of the caller's, or
/// in one of its own.
///
/// # Errors
/// [`OutboxError::NewerSchema`] if the tables are of a newer Levi: nothing was touched then. The others as named.
pub fn migrate_in(conn: &Connection) -> Result<(), OutboxError> {
    let fail = |error| failure::from_sqlite(error, &path(conn));
    let found = schema::find(conn).map_err(fail)?;
    refuse_newer(found)?;
    let Found::Older(from) = found else { return Ok(()) };
    nested(conn, || schema::upgrade(conn, from)).map_err(fail)
}

/// Stores `rows` inside the caller's transaction: they are there when it commits, and were never there when it
/// rolls back. The answers are in their order. Wake Levi after the commit.
///
/// Payloads are stored as they are: seal them first, or wrap them at rest.
///
/// # Errors
/// [`OutboxError`]; none of the rows was stored then, whatever becomes of the transaction.
pub fn enqueue_in(
    transaction: &Transaction<'_>,
    rows: &[NewRow],
    max_pending_bytes: u64,
) -> Result<Vec<Enqueued>, OutboxError> {
    nested(transaction, || {
        let mut ledger = Ledger::load(transaction)?;
        let answers =
            enqueue::store_rows(transaction, &mut ledger, &mut Lanes::default(), rows, max_pending_bytes)?;
        ledger.store(transaction)?;
        Ok(answers)
    })
    .map_err(|error| failure::from_sqlite(error, &path(transaction)))
}

/// Runs `work` in a savepoint, so that it is all or nothing inside a transaction that may go on after an error.
fn nested<T>(conn: &Connection, work: impl FnOnce() -> Result<T>) -> Result<T> {
    conn.execute_batch("SAVEPOINT levi")?;
    match work() {
        Ok(done) => conn.execute_batch("RELEASE levi").map(|()| done),
        Err(error) => {
            // After some errors SQLite has rolled back everything by itself, and this has nothing left to do.
            let _ = conn.execute_batch("ROLLBACK TO levi; RELEASE levi");
            Err(error)
        }
    }
}

fn path(conn: &Connection) -> PathBuf {
    conn.path().map_or_else(PathBuf::new, PathBuf::from)
}
