//! The outbox on disk.
//!
//! Tables with a `levi_` prefix, in a file of their own ([`SqliteOutbox::open`]) or inside the database of the
//! daemon ([`SqliteOutbox::attach`], [`migrate_in`], [`enqueue_in`]).

mod change;
mod columns;
mod due;
mod enqueue;
mod failure;
mod guest;
mod host;
mod inspect;
mod integrity;
mod lanes;
mod ledger;
mod open;
mod owner;
mod read;
mod salvage;
mod schema;
mod tasks;
mod transaction;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

pub use self::guest::{ByHand, Guest};
pub use self::host::{enqueue_in, migrate_in};
pub use self::inspect::Inspector;
use self::lanes::Lanes;
use self::ledger::Known;
use self::open::JournalMode;
use self::owner::Owner;
pub use self::owner::lock_path;
use self::transaction::Transaction;
use crate::error::OutboxError;
use crate::model::{
    Change, Due, DueTasks, Enqueued, LaneId, ListedRow, ListedTask, NewRow, RowHead, RowId, RowKey, RowState,
    Totals,
};
use crate::store::{DueQuery, OutboxStore, PayloadSink};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When the disk has it: survives the process, the system and the power. SQLite's `FULL`.
    #[default]
    Full,
    /// When the system has it: survives the process, and after a power cut the last commits may be missing,
    /// never something older. SQLite's `NORMAL` in WAL mode.
    Normal,
}

/// How an outbox on disk is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// When a commit counts as done. Default: [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// Payload bytes, pending and parked, beyond which rows are refused. Default: 1 GiB.
    pub max_pending_bytes: u64,
    /// How long to wait for another writer of the same file, such as the daemon. Default: 5 s.
    pub busy_timeout: Duration,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            max_pending_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// An outbox in an SQLite database. It owns the outbox for as long as it lives (see [`lock_path`]).
#[derive(Debug)]
pub struct SqliteOutbox {
    // Before `_owner`: the database is closed before the next owner may come.
    conn: Connection,
    /// For the text of errors; empty in memory.
    path: PathBuf,
    /// Whether the file is the outbox's alone.
    own_file: bool,
    max_pending_bytes: u64,
    /// The counts as they were last read or committed; none right after a commit that failed.
    known: Cell<Option<Known>>,
    /// The lanes that the last commits added to; none after one that failed.
    lanes: Lanes,
    _owner: Option<Owner>,
}

impl SqliteOutbox {
    /// Reads the whole outbox and says, one line each, what does not add up. Empty for a sound one.
    ///
    /// # Errors
    /// [`OutboxError`] when it cannot be read at all.
    pub fn problems(&self) -> Result<Vec<String>, OutboxError> {
        self.read(integrity::problems)
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OutboxError> {
        query(&self.conn).map_err(|error| self.failure(error))
    }

    /// As [`read`](Self::read), for queries that ask many times: all of them see one state of the file, and only the first
    /// asks the system for a lock.
    fn read_at_once<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, OutboxError> {
        self.read(|conn| {
            let snapshot = Transaction::read(conn)?;
            let answer = query(&snapshot)?;
            snapshot.commit()?;
            Ok(answer)
        })
    }

    /// Damage is remembered, so that the next opening looks through the whole file.
    fn failure(&self, error: rusqlite::Error) -> OutboxError {
        let error = failure::from_sqlite(error, &self.path);
        if self.own_file && matches!(error, OutboxError::Corrupt(_)) {
            salvage::mark_suspect(&self.path);
        }
        error
    }

    /// SQLite goes on writing into a file that was deleted or moved under it. What such a write acknowledges
    /// would be gone with the process, so it is refused here.
    #[cfg(unix)]
    fn check_still_there(&self) -> Result<(), OutboxError> {
        let mut moved = 0;
        let asked = self.conn.file_control(None::<&str>, rusqlite::FileControl::HasMoved(&mut moved));
        match asked {
            Ok(()) if moved != 0 => {
                Err(failure::cannot_open("the file was moved or deleted while it was open", &self.path))
            }
            // In memory there is no file to ask about.
            _ => Ok(()),
        }
    }

    #[cfg(not(unix))]
    fn check_still_there(&self) -> Result<(), OutboxError> {
        Ok(())
    }

    fn write(&mut self, changes: &[Change], rows: &[NewRow]) -> rusqlite::Result<Vec<Enqueued>> {
        let transaction = Transaction::write(&mut self.conn)?;
        // Not known again before the commit went through: one that fails may have gone either way.
        let mut known = Known::refresh(self.known.take(), &transaction)?;
        let mut lanes = std::mem::take(&mut self.lanes).still_valid(known.data_version);
        for change in changes {
            change::apply(&transaction, &mut known.ledger, change)?;
            lanes.forget();
        }
        let room = self.max_pending_bytes;
        let answers = enqueue::store_rows(&transaction, &mut known.ledger, &mut lanes, rows, room)?;
        known.ledger.save(&transaction)?;
        transaction.commit()?;
        self.known.set(Some(known));
        self.lanes = lanes;
        Ok(answers)
    }
}

impl OutboxStore for SqliteOutbox {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        if changes.is_empty() && rows.is_empty() {
            return Ok(Vec::new());
        }
        self.check_still_there()?;
        self.write(changes, rows).map_err(|error| self.failure(error))
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        self.read_at_once(|conn| due::due(conn, query))
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        self.read(|conn| due::heads(conn, lane, after, limit))
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.read_at_once(|conn| read::payloads(conn, rows, sink))
    }

    fn at_rest(&self, lane: LaneId, limit: usize) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        self.read(|conn| read::at_rest(conn, lane, limit))
    }

    fn due_tasks(
        &self,
        now: levi_types::Wall,
        horizon: levi_types::Wall,
        limit: usize,
    ) -> Result<DueTasks, OutboxError> {
        self.read(|conn| tasks::due(conn, now, horizon, limit))
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.read(|conn| read::row_state(conn, row))
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        let mut known = self.known.get();
        let totals = self.read_at_once(|conn| Known::read_totals(&mut known, conn))?;
        self.known.set(known);
        Ok(totals)
    }

    fn totals_as_committed(&self) -> Option<Totals> {
        self.known.get()?.totals()
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.read(|conn| read::list(conn, after, limit))
    }

    fn tasks(&self, limit: usize) -> Result<Vec<ListedTask>, OutboxError> {
        self.read(|conn| tasks::list(conn, limit))
    }
}
