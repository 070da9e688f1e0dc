//! Transactions whose first and last statement are compiled once and not each time.

use std::ops::Deref;

use rusqlite::{Connection, Result};

/// Rolled back when it is dropped, unless it was committed.
pub(super) struct Transaction<'a> {
    conn: &'a Connection,
}

impl<'a> Transaction<'a> {
    /// One that writes; no other connection writes meanwhile.
    pub(super) fn write(conn: &'a mut Connection) -> Result<Self> {
        Self::begin(conn, "BEGIN IMMEDIATE")
    }

    /// One that reads: it sees one state of the file, and only its first query asks the system for
    /// a lock.
    pub(super) fn read(conn: &'a Connection) -> Result<Self> {
        Self::begin(conn, "BEGIN")
    }

    fn begin(conn: &'a Connection, sql: &str) -> Result<Self> {
        conn.prepare_cached(sql)?.execute([])?;
        Ok(Self { conn })
    }

    pub(super) fn commit(self) -> Result<()> {
        self.conn.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.conn.is_autocommit() {
            // Should even that fail, the next one to begin says so.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }
}
