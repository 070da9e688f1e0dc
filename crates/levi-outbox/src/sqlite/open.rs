//! Opening: first the lock, then the schema is read, and only then is anything written.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

#[cfg(unix)]
use super::file_id::FileId;
use super::lane_cache::LaneCache;
use super::log_move::LogMove;
use super::owner_lock::{self, OwnerLock};
use super::schema::{self, Found};
use super::{SqliteOptions, SqliteOutbox, Synchronous, failure, lone_failures, overwrites, recovery, space};
use crate::error::OutboxError;

/// Statements kept prepared: all that are in use.
const STATEMENTS: usize = 90;

/// Pages of WAL after which a commit moves them into the database: 4 MiB at the usual page size.
const CHECKPOINT_PAGES: u32 = 1_000;

/// The size to which a checkpoint truncates a longer WAL file.
pub(super) const WAL_BYTES_KEPT: u32 = 16 << 20;

/// Whether there are lanes without rows, which a discard leaves.
const HAS_EMPTY: &str = "SELECT EXISTS (SELECT 1 FROM levi_lanes NOT INDEXED WHERE due_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = levi_lanes.lane) \
     AND NOT EXISTS (SELECT 1 FROM levi_parked AS p WHERE p.lane = levi_lanes.lane))";

/// Removes them. The tables themselves say which lanes have rows, because a damaged index may leave
/// some out: one pass through each.
const SWEEP: &str = "DELETE FROM levi_lanes NOT INDEXED WHERE due_at IS NULL \
     AND lane NOT IN (SELECT lane FROM levi_outbox NOT INDEXED) \
     AND lane NOT IN (SELECT lane FROM levi_parked NOT INDEXED)";

/// Receipts do not outlive the process, so nobody can ask for these rows any more.
const FORGET_DISCARDED: &str = "DELETE FROM levi_discarded";

impl SqliteOutbox {
    /// Opens the outbox in a file of its own. A missing file is created, readable by its owner
    /// only.
    ///
    /// # Errors
    /// [`OutboxError::Owned`] if another process has it open: nothing was changed then.
    /// [`OutboxError::NewerSchema`], [`OutboxError::Corrupt`], [`OutboxError::CannotOpen`] and the
    /// others as named.
    pub fn open(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OutboxError> {
        let path = resolve(path.as_ref())?;
        let owner = OwnerLock::acquire(&path)?;
        recovery::finish(&path)?;
        drop(owner_lock::open_private(&path).map_err(|error| failure::from_io(error, &path))?);
        Self::with_owner(path, &options, owner, JournalMode::Wal)
    }

    /// Opens the outbox inside a database that belongs to the daemon, beside the daemon's own
    /// connections.
    ///
    /// The file must exist. Its journal mode and permissions stay as they are; readers and Levi
    /// work at the same time only in WAL mode. After [`enqueue_in`](super::enqueue_in) the daemon
    /// wakes Levi itself.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn attach(path: impl AsRef<Path>, options: SqliteOptions) -> Result<Self, OutboxError> {
        let path = resolve(path.as_ref())?;
        fs::metadata(&path).map_err(|error| failure::from_io(error, &path))?;
        let owner = OwnerLock::acquire(&path)?;
        Self::with_owner(path, &options, owner, JournalMode::AsFound)
    }

    /// An outbox in memory, for simulations and tests of the SQLite code itself.
    ///
    /// # Errors
    /// [`OutboxError::Other`] if SQLite has no memory for it.
    pub fn in_memory(options: SqliteOptions) -> Result<Self, OutboxError> {
        let path = PathBuf::new();
        let conn = Connection::open_in_memory().map_err(|error| failure::from_sqlite(error, &path))?;
        Self::prepare(conn, path, &options, None, JournalMode::AsFound)
    }

    pub(super) fn with_owner(
        path: PathBuf,
        options: &SqliteOptions,
        owner: OwnerLock,
        mode: JournalMode,
    ) -> Result<Self, OutboxError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn =
            Connection::open_with_flags(&path, flags).map_err(|error| failure::from_sqlite(error, &path))?;
        Self::prepare(conn, path, options, Some(owner), mode)
    }

    fn prepare(
        conn: Connection,
        path: PathBuf,
        options: &SqliteOptions,
        owner: Option<OwnerLock>,
        mode: JournalMode,
    ) -> Result<Self, OutboxError> {
        let fail = |error| failure::from_sqlite(error, &path);
        conn.busy_timeout(options.busy_timeout).map_err(fail)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        // A newer file must stay as it is, so its schema is read before anything is set or written.
        refuse_newer(schema::find(&conn).map_err(fail)?)?;
        configure(&conn, options, mode).map_err(fail)?;
        upgrade(&conn).map_err(fail)??;
        sweep(&conn).map_err(fail)?;
        conn.execute(FORGET_DISCARDED, []).map_err(fail)?;
        overwrites::forget_gone(&conn).map_err(fail)?;
        lone_failures::forget_gone(&conn).map_err(fail)?;
        let own_file = mode == JournalMode::Wal;
        if own_file {
            space::convert(&conn).map_err(fail)?;
        }
        Ok(Self {
            log_move: LogMove::default(),
            conn,
            quarantined_bytes: if own_file { recovery::quarantined_bytes(&path) } else { 0 },
            #[cfg(unix)]
            file: FileId::of(&path).ok(),
            path,
            own_file,
            max_pending_bytes: options.max_pending_bytes,
            busy_timeout: options.busy_timeout,
            log_is_held: false,
            counters: Cell::default(),
            lanes: LaneCache::default(),
            _owner: owner,
        })
    }
}

fn sweep(conn: &Connection) -> rusqlite::Result<()> {
    let has_empty: bool = conn.query_row(HAS_EMPTY, [], |row| row.get(0))?;
    if has_empty { conn.execute(SWEEP, []).map(drop) } else { Ok(()) }
}

/// Who chooses the journal mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JournalMode {
    Wal,
    AsFound,
}

fn configure(conn: &Connection, options: &SqliteOptions, mode: JournalMode) -> rusqlite::Result<()> {
    // Otherwise SQLite compiles a statement again whenever another value is bound to its LIMIT, in
    // search of a better plan, which takes longer than running the statement.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if mode == JournalMode::Wal {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        space::prepare(conn)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
    }
    let level = match options.synchronous {
        // A daemon's database may have a rollback journal, whose removal is the commit: EXTRA syncs
        // the removal too. In WAL mode it is the same as FULL.
        Synchronous::Full if mode == JournalMode::AsFound => "EXTRA",
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", level)?;
    sync_to_the_platter(conn)?;
    // Negative: KiB, not pages.
    conn.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
}

/// On Apple's systems a plain `fsync` leaves the data in the drive's cache, which a power cut empties. Other systems
/// ignore the setting.
pub(super) fn sync_to_the_platter(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)
}

/// Runs all scripts in one transaction, which reads the version again, because another connection
/// may have migrated in the meantime.
pub(super) fn upgrade(conn: &Connection) -> rusqlite::Result<Result<(), OutboxError>> {
    if schema::find(conn)? == Found::Current {
        return Ok(Ok(()));
    }
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let found = schema::find(&transaction)?;
    if let Found::Older(from) = found {
        schema::upgrade(&transaction, from)?;
    }
    transaction.commit()?;
    Ok(refuse_newer(found))
}

/// Refuses a schema that a newer Levi has written.
pub(super) fn refuse_newer(found: Found) -> Result<(), OutboxError> {
    match found {
        Found::Newer(found) => Err(OutboxError::NewerSchema { found, known: schema::KNOWN }),
        Found::Current | Found::Older(_) => Ok(()),
    }
}

/// Refuses a file that cannot be used as it is: only the owner and [`migrate_in`](super::migrate_in)
/// migrate.
pub(super) fn require_current(found: Found, path: &Path) -> Result<(), OutboxError> {
    refuse_newer(found)?;
    match found {
        Found::Older(0) => Err(failure::cannot_open("there is no outbox in this file yet", path)),
        Found::Older(_) => Err(failure::cannot_open("an older Levi wrote it; start Levi once", path)),
        Found::Current | Found::Newer(_) => Ok(()),
    }
}

/// Canonicalizes `path`, so that a symlink contends for the same lock.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, OutboxError> {
    if let Ok(resolved) = fs::canonicalize(path) {
        return Ok(resolved);
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = fs::canonicalize(folder).map_err(|error| failure::from_io(error, path))?;
    match path.file_name() {
        Some(name) => Ok(folder.join(name)),
        None => Err(failure::cannot_open("the path names no file", path)),
    }
}
