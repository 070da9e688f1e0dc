//! The disk: a real outbox that survives the engine, crashes in the middle of a commit on command,
//! and reports every operation to the simulation.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_outbox::memory::MemoryOutbox;
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox, Synchronous};
use levi_outbox::{
    Change, Due, DueQuery, Enqueued, Held, LaneId, LaneKey, ListedRow, LoneFailure, NewRow, OutboxError,
    OutboxStore, ParkedParent, PayloadSink, PendingControlRow, Reason, RowHead, RowId, RowKey, RowState,
    Totals,
};
use levi_types::{SessionId, UserId, Wall};

use crate::model::Model;
use crate::plan::StoreKind;

/// Calls in one turn beyond which it is a loop.
const MOST_CALLS: u32 = 20_000;

/// A handle on the disk and on its model.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

pub(crate) struct Inner {
    store: Store,
    pub(crate) model: Model,
    /// The process is dead: nothing it does reaches the disk any more.
    pub(crate) dead: bool,
    death: Option<Death>,
}

/// When the process dies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    /// So many commits go through first.
    pub(crate) after: u32,
    /// Whether the last of them is still answered.
    pub(crate) answered: bool,
}

enum Store {
    Memory(MemoryOutbox),
    Sqlite(SqliteOutbox),
    /// Between a crash and the next start.
    Closed,
}

impl Store {
    fn get(&self) -> Result<&dyn OutboxStore, OutboxError> {
        match self {
            Self::Memory(store) => Ok(store),
            Self::Sqlite(store) => Ok(store),
            Self::Closed => Err(gone()),
        }
    }

    fn get_mut(&mut self) -> Result<&mut dyn OutboxStore, OutboxError> {
        match self {
            Self::Memory(store) => Ok(store),
            Self::Sqlite(store) => Ok(store),
            Self::Closed => Err(gone()),
        }
    }
}

fn gone() -> OutboxError {
    OutboxError::Other("the process is dead".into())
}

impl Disk {
    pub(crate) fn new(kind: StoreKind, file: Option<&PathBuf>, model: Model) -> Result<Self, OutboxError> {
        let store = open(kind, file, model.config.max_pending_bytes)?;
        Ok(Self(Arc::new(Mutex::new(Inner { store, model, dead: false, death: None }))))
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process starts again. A file is closed and opened anew.
    pub(crate) fn reopen(&self, kind: StoreKind, file: Option<&PathBuf>) -> Result<(), OutboxError> {
        let mut inner = self.inner();
        inner.dead = false;
        inner.death = None;
        if kind == StoreKind::SqliteFile {
            // Closed before it is opened: the outbox belongs to one process at a time.
            inner.store = Store::Closed;
            inner.store = open(kind, file, inner.model.config.max_pending_bytes)?;
        }
        Ok(())
    }

    pub(crate) fn die(&self, death: Death) {
        self.inner().death = Some(death);
    }

    /// Writes without the engine, as another part of the daemon or the operator's tool does.
    pub(crate) fn write_elsewhere(&self, changes: &[Change], rows: &[NewRow]) {
        let inner = &mut *self.inner();
        if let Ok(store) = inner.store.get_mut()
            && let Ok(answers) = store.commit(changes, rows)
        {
            inner.model.committed(changes, rows, &answers);
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&dyn OutboxStore) -> Result<T, OutboxError>) -> Option<T> {
        self.inner().store.get().and_then(read).ok()
    }

    /// What SQLite's own check of itself says.
    pub(crate) fn problems(&self) -> Vec<String> {
        match &self.inner().store {
            Store::Sqlite(store) => store.problems().unwrap_or_else(|error| vec![error.to_string()]),
            Store::Memory(_) | Store::Closed => Vec::new(),
        }
    }
}

fn open(kind: StoreKind, file: Option<&PathBuf>, max_pending_bytes: u64) -> Result<Store, OutboxError> {
    let options =
        SqliteOptions { synchronous: Synchronous::Normal, max_pending_bytes, ..SqliteOptions::default() };
    Ok(match (kind, file) {
        (StoreKind::SqliteFile, Some(file)) => Store::Sqlite(SqliteOutbox::open(file, options)?),
        (StoreKind::Memory, _) => Store::Memory(MemoryOutbox::new(max_pending_bytes).with_writer([1; 16])),
        _ => Store::Sqlite(SqliteOutbox::in_memory(options)?),
    })
}

impl Inner {
    fn call(&mut self) -> Result<(), OutboxError> {
        self.model.calls += 1;
        let endless = self.model.calls > MOST_CALLS;
        if endless {
            self.model.fail("idle", format!("more than {MOST_CALLS} calls to the outbox in one turn"));
            self.dead = true;
        }
        if self.dead { Err(gone()) } else { Ok(()) }
    }

    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        self.call()?;
        if let Some(Death { after: 0, .. }) = self.death {
            self.dead = true;
            self.model.note(|| "the process dies before a commit".to_owned());
            return Err(gone());
        }
        let answers = self.store.get_mut()?.commit(changes, rows)?;
        self.model.committed(changes, rows, &answers);
        let totals = self.store.get()?.totals()?;
        self.model.check_totals(&totals);
        if let Some(death) = &mut self.death {
            death.after -= 1;
            if death.after == 0 && !death.answered {
                self.dead = true;
                self.model.note(|| "the process dies after a commit".to_owned());
                return Err(gone());
            }
        }
        Ok(answers)
    }
}

impl OutboxStore for Disk {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        self.inner().commit(changes, rows)
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        let due = inner.store.get()?.due(query)?;
        inner.model.check_whose_due(query.user, &due);
        inner.model.lanes_due(&due);
        Ok(due)
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.heads(lane, after, limit)
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.model.payloads_read(rows);
        inner.store.get()?.payloads(rows, sink)
    }

    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.rows_under_database_key(lane, limit)
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.row_state(row)
    }

    fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.session_was_sent(session)
    }

    fn parked_parents(&self, limit: usize) -> Result<Vec<ParkedParent>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.parked_parents(limit)
    }

    fn pending_control_row(&self, lane: &LaneKey) -> Result<Option<PendingControlRow>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.pending_control_row(lane)
    }

    fn parked_reason(&self, lane: &LaneKey) -> Result<Option<Reason>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.parked_reason(lane)
    }

    fn writer(&self) -> Result<Option<[u8; 16]>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.writer()
    }

    fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.last_sequence_number(session)
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.totals()
    }

    fn totals_as_committed(&self) -> Option<Totals> {
        self.inner().store.get().ok()?.totals_as_committed()
    }

    fn user(&self) -> Result<Option<UserId>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.user()
    }

    fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.paused_until()
    }

    fn parked_on_probes(&self) -> Result<u32, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.parked_on_probes()
    }

    fn lone_failures(&self) -> Result<Vec<LoneFailure>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.lone_failures()
    }

    fn held(&self) -> Result<Vec<Held>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.held()
    }

    fn held_bytes(&self) -> Result<u64, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.held_bytes()
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        let inner = &mut *self.inner();
        inner.call()?;
        inner.store.get()?.list(after, limit)
    }
}
