//! Reading an outbox that another process may own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use levi_types::{SessionId, Wall};
use rusqlite::{Connection, OpenFlags, Result};

use super::counters::CachedCounters;
use super::open::require_current;
use super::transaction::Transaction;
use super::{change, failure, integrity, list, read, recovery, schema, space, users};
use crate::error::OutboxError;
use crate::model::{Held, ListedRow, RowId, RowKey, RowState, Space, Totals, WaitingLane};
use crate::store::PayloadSink;

/// Reads an outbox without owning it and without writing to it, for `levi status` beside a daemon
/// or without one.
#[derive(Debug)]
pub struct Inspector {
    conn: Connection,
    path: PathBuf,
}

impl Inspector {
    /// Opens an existing outbox for reading, in a file of its own or in a daemon's database.
    ///
    /// # Errors
    /// [`OutboxError::CannotOpen`] if there is no such file or no outbox in it; the others as
    /// named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let path = path.as_ref().to_owned();
        let fail = |error| failure::from_sqlite(error, &path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
        require_current(schema::find(&conn).map_err(fail)?, &path)?;
        Ok(Self { conn, path })
    }

    /// As [`OutboxStore::totals`](crate::OutboxStore::totals).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn totals(&self) -> Result<Totals, OutboxError> {
        self.read(|conn| CachedCounters::read_totals(&mut None, conn))
    }

    /// As [`OutboxStore::held`](crate::OutboxStore::held).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn held(&self) -> Result<Vec<Held>, OutboxError> {
        self.read(users::held)
    }

    /// As [`OutboxStore::list`](crate::OutboxStore::list).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.read(|conn| list::list(conn, after, limit))
    }

    /// As [`OutboxStore::waiting`](crate::OutboxStore::waiting).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn waiting(&self, limit: usize) -> Result<Vec<WaitingLane>, OutboxError> {
        self.read(|conn| list::waiting(conn, limit))
    }

    /// As [`OutboxStore::paused_until`](crate::OutboxStore::paused_until).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        self.read(change::paused_until)
    }

    /// As [`OutboxStore::row_state`](crate::OutboxStore::row_state).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.read(|conn| read::row_state(conn, row))
    }

    /// As [`OutboxStore::session_was_sent`](crate::OutboxStore::session_was_sent).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError> {
        self.read(|conn| read::session_was_sent(conn, session))
    }

    /// As [`OutboxStore::payloads`](crate::OutboxStore::payloads).
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.read(|conn| read::payloads(conn, rows, sink))
    }

    /// The disk space that the outbox uses. Only the owner knows whether another connection keeps
    /// the log from being shortened.
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read.
    pub fn space(&self) -> Result<Space, OutboxError> {
        let space = self.read(|conn| space::used(conn, &self.path))?;
        Ok(Space { quarantined_bytes: recovery::quarantined_bytes(&self.path), ..space })
    }

    /// Checks the whole file. Each line describes one kind of damage; a sound outbox has none.
    ///
    /// # Errors
    /// [`OutboxError`] when the file cannot be read at all.
    pub fn problems(&self) -> Result<Vec<String>, OutboxError> {
        self.read(integrity::problems)
    }

    /// All statements of `query` see one state of the file, because the owner may write meanwhile.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T>) -> Result<T, OutboxError> {
        let read = || {
            let snapshot = Transaction::read(&self.conn)?;
            let answer = query(&snapshot)?;
            snapshot.commit()?;
            Ok(answer)
        };
        read().map_err(|error| failure::from_sqlite(error, &self.path))
    }
}
