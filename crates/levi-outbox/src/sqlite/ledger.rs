//! The counts of `levi_totals`, carried through one transaction.

use rusqlite::{Connection, Result};

/// What there is. Loaded when a transaction starts, changed beside the rows, stored before it ends.
///
/// Saturating throughout: on a damaged disk the counts may be anything, and a count is no reason to panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) pending_rows: i64,
    pub(super) pending_bytes: i64,
    pub(super) parked_rows: i64,
    pub(super) parked_bytes: i64,
    /// Lanes with rows.
    pub(super) lanes: i64,
    pub(super) tasks: i64,
}

pub(super) const LOAD: &str = "SELECT pending_rows, pending_bytes, parked_rows, parked_bytes, lanes, tasks \
     FROM levi_totals WHERE id = 1";

const STORE: &str = "UPDATE levi_totals SET pending_rows = ?1, pending_bytes = ?2, parked_rows = ?3, \
     parked_bytes = ?4, lanes = ?5, tasks = ?6 WHERE id = 1";

impl Ledger {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        conn.prepare_cached(LOAD)?.query_row([], |row| {
            Ok(Self {
                pending_rows: row.get(0)?,
                pending_bytes: row.get(1)?,
                parked_rows: row.get(2)?,
                parked_bytes: row.get(3)?,
                lanes: row.get(4)?,
                tasks: row.get(5)?,
            })
        })
    }

    pub(super) fn store(&self, conn: &Connection) -> Result<()> {
        conn.prepare_cached(STORE)?.execute([
            self.pending_rows,
            self.pending_bytes,
            self.parked_rows,
            self.parked_bytes,
            self.lanes,
            self.tasks,
        ])?;
        Ok(())
    }

    pub(super) fn add_pending(&mut self, bytes: i64) {
        self.pending_rows = self.pending_rows.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
    }

    pub(super) fn remove_pending(&mut self, bytes: i64) {
        self.pending_rows = self.pending_rows.saturating_sub(1);
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
    }

    /// A pending payload of `before` bytes now has `after`.
    pub(super) fn resize_pending(&mut self, before: i64, after: i64) {
        self.pending_bytes = self.pending_bytes.saturating_sub(before).saturating_add(after);
    }

    /// `change` lanes more have rows.
    pub(super) fn add_lanes(&mut self, change: i64) {
        self.lanes = self.lanes.saturating_add(change);
    }

    /// `change` tasks more are there.
    pub(super) fn add_tasks(&mut self, change: i64) {
        self.tasks = self.tasks.saturating_add(change);
    }

    pub(super) fn add_parked(&mut self, bytes: i64) {
        self.parked_rows = self.parked_rows.saturating_add(1);
        self.parked_bytes = self.parked_bytes.saturating_add(bytes);
    }

    pub(super) fn remove_parked(&mut self, bytes: i64) {
        self.parked_rows = self.parked_rows.saturating_sub(1);
        self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
    }

    /// Bytes that count against `max_pending_bytes`.
    pub(super) fn held_bytes(&self) -> i64 {
        self.pending_bytes.saturating_add(self.parked_bytes)
    }
}
