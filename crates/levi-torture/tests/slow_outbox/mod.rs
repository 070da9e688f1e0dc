//! An outbox on a slow disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levi::outbox::sqlite::SqliteOutbox;
use levi::outbox::{OutboxError, OutboxStore};
use levi_outbox::{Change, Due, DueQuery, Enqueued, Held, LaneId, ListedRow, NewRow, PayloadSink};
use levi_outbox::{RowHead, RowId, RowKey, RowState, Totals};

/// What a good disk's sync costs here, times fifteen.
const SLOW_COMMIT: Duration = Duration::from_millis(60);

pub(super) struct SlowOutbox {
    pub(super) inner: SqliteOutbox,
    pub(super) commits: Arc<AtomicU64>,
}

impl OutboxStore for SlowOutbox {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        // The disk's slowness itself; nothing waits for this thread to wake up in time.
        std::thread::sleep(SLOW_COMMIT);
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(changes, rows)
    }
    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        self.inner.due(query)
    }
    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        self.inner.heads(lane, after, limit)
    }
    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        self.inner.payloads(rows, sink)
    }
    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        self.inner.rows_under_database_key(lane, limit)
    }
    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        self.inner.row_state(row)
    }
    fn totals(&self) -> Result<Totals, OutboxError> {
        self.inner.totals()
    }

    fn totals_as_committed(&self) -> Option<Totals> {
        self.inner.totals_as_committed()
    }

    fn held(&self) -> Result<Vec<Held>, OutboxError> {
        self.inner.held()
    }
    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        self.inner.list(after, limit)
    }
}
