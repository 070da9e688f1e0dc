//! The outbox on disk.
//!
//! Tables with a `levi_` prefix, in a file of their own ([`SqliteOutbox::open`]) or in the daemon's
//! database ([`SqliteOutbox::attach`], [`migrate_in`], [`enqueue_in`]).

mod admin;
mod blocking;
mod change;
mod columns;
mod control_row;
mod counters;
mod data_dir;
mod due;
mod enqueue;
mod failure;
#[cfg(unix)]
mod file_id;
mod host;
mod inspect;
mod integrity;
mod lane;
mod lane_cache;
mod list;
mod log_move;
mod log_reader;
mod lone_failures;
pub mod notify;
mod open;
mod overwrites;
mod owner_lock;
mod read;
mod recovery;
mod repair_lock;
mod schema;
mod space;
mod synced;
mod transaction;
mod users;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use levi_types::{SessionId, UserId, Wall};
use rusqlite::Connection;

pub use self::admin::{AdminCommand, AdminError, OutboxAdmin, OwnerNotice};
use self::counters::CachedCounters;
pub use self::data_dir::DataDir;
#[cfg(unix)]
use self::file_id::FileId;
pub use self::host::{enqueue_in, migrate_in};
pub use self::inspect::Inspector;
use self::lane_cache::LaneCache;
use self::log_move::{LogMove, Moved};
use self::open::JournalMode;
use self::owner_lock::OwnerLock;
pub use self::owner_lock::{is_owned, lock_path};
#[doc(hidden)]
pub use self::recovery::records;
use self::transaction::Transaction;
use crate::error::OutboxError;
use crate::model::{
    Change, Due, Enqueued, GivenBack, Held, LaneId, LaneKey, ListedRow, LoneFailure, NewRow, ParkedParent,
    PendingControlRow, Progress, Reason, RowHead, RowId, RowKey, RowState, Space, Totals, WaitingLane,
};
use crate::store::{DueQuery, OutboxStore, PayloadSink};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on disk: it survives a crash of the process or the system, and power loss.
    /// SQLite's `FULL`.
    #[default]
    Full,
    /// When the operating system has it: it survives a crash of the process. After power loss the
    /// last commits may be missing, never earlier ones. SQLite's `NORMAL` in WAL mode.
    Normal,
}

/// Free pages that are kept for the next rows.
const FREE_BYTES_KEPT: u64 = 2 << 20;

/// Options for an outbox on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// When a commit counts as done. Default: [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// Payload bytes, pending and parked, beyond which rows are refused. Default: 1 GiB. What waits
    /// for users who are not signed in does not count, but all together have twice that. It bounds
    /// payloads and not the files: these take about 150 bytes more for each row, the log, and free
    /// pages until they are given back ([`Space`]).
    pub max_pending_bytes: u64,
    /// How long to wait for another writer of the same file, such as the daemon. Default: 5 s.
    pub busy_timeout: Duration,
    /// Memory for pages of the file, in KiB. Default: 8 MiB, enough for the next batches of eight sessions that write in
    /// turn and whose rows share pages, so that a row's page is still in memory when it is sent and removed. Where
    /// the rows of many more sessions are due in turn, each claim reads its pages anew, unless all fit in here: about
    /// 12 KiB for each row that is due.
    pub cache_kib: u32,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::Full,
            max_pending_bytes: 1 << 30,
            busy_timeout: Duration::from_secs(5),
            cache_kib: 8 << 10,
        }
    }
}

/// An outbox in an SQLite database. This process owns the outbox until the value is dropped (see
/// [`lock_path`]).
#[derive(Debug)]
pub struct SqliteOutbox {
    // Before `conn`, whose closing ends the log.
    log_move: LogMove,
    // Before `_owner`, so that the database is closed before the next owner may open it.
    conn: Connection,
    /// For the text of errors; empty in memory.
    path: PathBuf,
    /// The file that was opened; `None` in memory.
    #[cfg(unix)]
    file: Option<FileId>,
    /// Whether the file contains nothing but the outbox.
    own_file: bool,
    max_pending_bytes: u64,
    busy_timeout: Duration,
    /// Whether a reader kept the log from being emptied the last time.
    log_is_held: bool,
    /// What damaged files beside it took when it was opened.
    quarantined_bytes: u64,
    /// The totals as they were last read or committed; `None` right after a commit that failed.
    counters: Cell<Option<CachedCounters>>,
    /// The lanes that the last commits added to; empty after a commit that failed.
    lanes: LaneCache,
    _owner: Option<OwnerLock>,
}

impl SqliteOutbox {
    /// Checks the whole outbox. Each line describes one kind of damage; a sound outbox has none.
    ///
    /// # Errors
    /// [`OutboxError`] when it cannot be read at all.
    pub fn problems(&self) -> Result<Vec<String>, OutboxError> {
        self.read(integrity::problems)
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, OutboxError> {
        query(&self.conn).map_err(|error| self.failure(error))
    }

    /// As [`read`](Self::read), for several statements: all of them see one state of the file, and
    /// only the first takes a lock.
    fn read_in_snapshot<T>(
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

    /// Marks the file as suspect if the error is damage.
    fn failure(&self, error: rusqlite::Error) -> OutboxError {
        let error = failure::from_sqlite(error, &self.path);
        if self.own_file && matches!(error, OutboxError::Corrupt(_)) {
            recovery::mark_suspect(&self.path);
        }
        error
    }

    #[cfg(unix)]
    fn check_not_moved(&self) -> Result<(), OutboxError> {
        self.file.map_or(Ok(()), |opened| opened.check(&self.path))
    }

    #[cfg(not(unix))]
    fn check_not_moved(&self) -> Result<(), OutboxError> {
        Ok(())
    }

    /// Cuts pages off, moves the log or empties it. What came of the first and the last is seen from outside.
    fn take_step(&mut self, step: Duration, may_cut: bool) -> Result<Progress, OutboxError> {
        // While a reader holds the log, each cut would make it longer.
        if may_cut && self.log_move.permits_cut() && !self.log_is_held {
            self.read(|conn| space::cut_off_free_pages(conn, step))?;
            self.log_move.cut();
            return Ok(Progress::None);
        }
        if !self.log_move.is_moved() {
            let started = self.log_move.start(&self.path);
            started.map_err(|error| failure::from_io(error, &self.path))?;
            return Ok(Progress::Underway);
        }
        self.log_is_held = self.read(|conn| space::empty_log(conn, self.busy_timeout))?;
        Ok(Progress::None)
    }

    fn write(&mut self, changes: &[Change], rows: &[NewRow]) -> rusqlite::Result<Vec<Enqueued>> {
        self.log_move.written();
        let transaction = Transaction::write(&mut self.conn)?;
        // Both caches stay empty until the commit has succeeded, because a commit that fails may
        // have been written.
        let mut cached = CachedCounters::refresh(self.counters.take(), &transaction)?;
        let mut lanes = std::mem::take(&mut self.lanes).validate(cached.data_version);
        change::apply_all(&transaction, &mut cached.counters, changes)?;
        for change in changes {
            lanes.clear();
            if let Change::NoteSynced { session, .. } = change {
                lanes.synced.forget(session);
            }
        }
        let limit = self.max_pending_bytes;
        let answers = enqueue::store_rows(&transaction, &mut cached.counters, &mut lanes, rows, limit)?;
        cached.counters.save(&transaction)?;
        transaction.commit()?;
        self.counters.set(Some(cached));
        self.lanes = lanes;
        Ok(answers)
    }
}

impl OutboxStore for SqliteOutbox {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        if changes.is_empty() && rows.is_empty() {
            return Ok(Vec::new());
        }
        self.check_not_moved()?;
        self.write(changes, rows).map_err(|error| self.failure(error))
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        self.read_in_snapshot(|conn| due::due(conn, query))
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        self.read(|conn| due::heads(conn, lane, after, limit))
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.read_in_snapshot(|conn| read::payloads(conn, rows, sink))
    }

    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        self.read_in_snapshot(|conn| read::rows_under_database_key(conn, lane, limit))
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.read_in_snapshot(|conn| read::row_state(conn, row))
    }

    fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError> {
        self.read(|conn| read::session_was_sent(conn, session))
    }

    fn parked_parents(&self, limit: usize) -> Result<Vec<ParkedParent>, OutboxError> {
        self.read(|conn| read::parked_parents(conn, limit))
    }

    fn pending_control_row(&self, lane: &LaneKey) -> Result<Option<PendingControlRow>, OutboxError> {
        self.read(|conn| control_row::pending(conn, lane))
    }

    fn parked_reason(&self, lane: &LaneKey) -> Result<Option<Reason>, OutboxError> {
        self.read(|conn| read::parked_reason(conn, lane))
    }

    fn writer(&self) -> Result<Option<[u8; 16]>, OutboxError> {
        self.read(read::writer)
    }

    fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, OutboxError> {
        self.read(|conn| read::last_sequence_number(conn, session))
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        let mut cached = self.counters.get();
        let totals = self.read_in_snapshot(|conn| CachedCounters::read_totals(&mut cached, conn))?;
        self.counters.set(cached);
        Ok(totals)
    }

    fn totals_as_committed(&self) -> Option<Totals> {
        self.counters.get()?.totals()
    }

    fn user(&self) -> Result<Option<UserId>, OutboxError> {
        self.read(users::signed_in_user)
    }

    fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        self.read(change::paused_until)
    }

    fn lone_failures(&self) -> Result<Vec<LoneFailure>, OutboxError> {
        self.read(lone_failures::all)
    }

    fn parked_on_probes(&self) -> Result<u32, OutboxError> {
        self.read(lone_failures::parked)
    }

    fn held(&self) -> Result<Vec<Held>, OutboxError> {
        self.read(users::held)
    }

    fn held_bytes(&self) -> Result<u64, OutboxError> {
        let mut cached = self.counters.get();
        let held = self.read_in_snapshot(|conn| CachedCounters::read_held_bytes(&mut cached, conn))?;
        self.counters.set(cached);
        Ok(held)
    }

    fn waiting(&self, limit: usize) -> Result<Vec<WaitingLane>, OutboxError> {
        self.read_in_snapshot(|conn| list::waiting(conn, limit))
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.read_in_snapshot(|conn| list::list(conn, after, limit))
    }

    fn space(&self) -> Result<Option<Space>, OutboxError> {
        if !self.own_file {
            return Ok(None);
        }
        let space = self.read(|conn| space::used(conn, &self.path))?;
        let (log_is_held, quarantined_bytes) = (self.log_is_held, self.quarantined_bytes);
        Ok(Some(Space { log_is_held, quarantined_bytes, ..space }))
    }

    fn give_back(&mut self, step: Duration) -> Result<Option<GivenBack>, OutboxError> {
        let Some(before) = self.space()? else { return Ok(None) };
        if self.log_move.is_running() {
            return Ok(Some(GivenBack { space: before, progress: Progress::Underway }));
        }
        let free_before = self.read(space::pages_to_cut_off)?;
        let progress = match self.log_move.take_outcome() {
            Some(Moved::Held) => {
                self.log_is_held = true;
                Progress::None
            }
            Some(Moved::Not) => Progress::None,
            Some(Moved::Whole) => {
                self.log_is_held = false;
                self.take_step(step, free_before > FREE_BYTES_KEPT)?
            }
            None => self.take_step(step, free_before > FREE_BYTES_KEPT)?,
        };
        let Some(space) = self.space()? else { return Ok(None) };
        // Pages that are cut off are in the file until the log is emptied.
        let is_shorter = space.file_bytes + space.log_bytes < before.file_bytes + before.log_bytes;
        let came_closer = is_shorter || self.read(space::pages_to_cut_off)? < free_before;
        let progress = if came_closer { Progress::Made } else { progress };
        Ok(Some(GivenBack { space, progress }))
    }
}
