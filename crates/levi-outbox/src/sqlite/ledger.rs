//! The counts of what there is, carried through one transaction.
//!
//! A message that joins a queue is worth no second page on disk: what a transaction only adds at the end may stay
//! uncounted. So the counts are what `levi_totals` says, and the rows with ids above its `counted_to`. Anything else
//! that changes a count stores them all.

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result};

use super::columns::unsigned;
use crate::model::Totals;

/// Added rows that may stay uncounted: few enough for whoever reads the counts.
const MOST_UNCOUNTED: i64 = 32;

/// What this connection knows of the counts: they need not be read again until somebody else writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) ledger: Ledger,
    pub(super) data_version: i64,
}

impl Known {
    /// The counts as they are now.
    pub(super) fn refresh(known: Option<Self>, conn: &Connection) -> Result<Self> {
        let data_version = conn.prepare_cached(DATA_VERSION)?.query_row([], |row| row.get(0))?;
        match known {
            Some(known) if known.data_version == data_version => Ok(known),
            _ => Ok(Self { ledger: Ledger::load(conn)?, data_version }),
        }
    }

    /// What there was, unless the oldest row is yet to be looked up.
    pub(super) fn totals(&self) -> Option<Totals> {
        match self.ledger.oldest {
            Oldest::Known(oldest) => Some(self.ledger.totals(oldest)),
            Oldest::Unread => None,
        }
    }

    /// What there is, and in `known` what is to be remembered of it.
    pub(super) fn read_totals(known: &mut Option<Self>, conn: &Connection) -> Result<Totals> {
        let mut current = Self::refresh(*known, conn)?;
        let oldest = conn.prepare_cached(OLDEST)?.query_row([], |row| row.get(0)).optional()?;
        current.ledger.oldest = Oldest::Known(oldest);
        *known = Some(current);
        Ok(current.ledger.totals(oldest))
    }
}

/// What there is. Loaded when a transaction starts, changed beside the rows, saved before it ends.
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
    /// The highest id of a row that is in the counts.
    newest: i64,
    /// Rows that are in these counts and not in `levi_totals`.
    uncounted: i64,
    /// Whether a count changed by more than rows at the end.
    must_store: bool,
    oldest: Oldest,
}

/// When the oldest row that waits was handed in, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Oldest {
    /// To be looked up.
    #[default]
    Unread,
    /// `None`: no row waits.
    Known(Option<i64>),
}

/// The oldest row is the one with the lowest id: ids are handed out in order and kept.
pub(super) const OLDEST: &str =
    "SELECT enqueued_at FROM levi_outbox WHERE id = (SELECT min(id) FROM levi_outbox)";

/// One statement, and so one look at one state of the file. `total` and not `sum`, which fails where damaged lengths
/// overflow.
pub(super) const LOAD: &str = "SELECT pending_rows, pending_bytes, parked_rows, parked_bytes, lanes, tasks, counted_to, \
     added, added_bytes, newest FROM levi_totals, (SELECT count(*) AS added, CAST(total(bytes) AS INTEGER) AS added_bytes, \
     max(id) AS newest FROM levi_outbox WHERE id > (SELECT counted_to FROM levi_totals WHERE id = 1)) \
     WHERE levi_totals.id = 1";

/// Changes whenever another connection commits, and never by what this one does.
const DATA_VERSION: &str = "PRAGMA data_version";

const STORE: &str = "UPDATE levi_totals SET pending_rows = ?1, pending_bytes = ?2, parked_rows = ?3, \
     parked_bytes = ?4, lanes = ?5, tasks = ?6, counted_to = ?7 WHERE id = 1";

impl Ledger {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        conn.prepare_cached(LOAD)?.query_row([], |row| {
            let (pending_rows, pending_bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (added, added_bytes): (i64, i64) = (row.get(7)?, row.get(8)?);
            let newest: Option<i64> = row.get(9)?;
            Ok(Self {
                pending_rows: pending_rows.saturating_add(added),
                pending_bytes: pending_bytes.saturating_add(added_bytes),
                parked_rows: row.get(2)?,
                parked_bytes: row.get(3)?,
                lanes: row.get(4)?,
                tasks: row.get(5)?,
                newest: newest.map_or_else(|| row.get(6), Ok)?,
                uncounted: added,
                must_store: false,
                oldest: Oldest::Unread,
            })
        })
    }

    /// Stores the counts if they must be.
    pub(super) fn save(&mut self, conn: &Connection) -> Result<()> {
        if self.must_store || self.uncounted > MOST_UNCOUNTED { self.store(conn) } else { Ok(()) }
    }

    /// Stores the counts whatever changed: for those who do not keep them in memory.
    pub(super) fn store(&mut self, conn: &Connection) -> Result<()> {
        conn.prepare_cached(STORE)?.execute([
            self.pending_rows,
            self.pending_bytes,
            self.parked_rows,
            self.parked_bytes,
            self.lanes,
            self.tasks,
            self.newest,
        ])?;
        (self.uncounted, self.must_store) = (0, false);
        Ok(())
    }

    /// A row was added under a new id.
    pub(super) fn append_pending(&mut self, id: i64, bytes: i64, enqueued_at: i64) {
        if self.pending_rows == 0 {
            self.oldest = Oldest::Known(Some(enqueued_at));
        }
        self.pending_rows = self.pending_rows.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
        self.newest = self.newest.max(id);
        self.uncounted = self.uncounted.saturating_add(1);
    }

    /// A row came back under the id it had, which may be higher than any that is counted.
    pub(super) fn return_pending(&mut self, id: i64, bytes: i64) {
        self.must_store = true;
        self.oldest = Oldest::Unread;
        self.newest = self.newest.max(id);
        self.pending_rows = self.pending_rows.saturating_add(1);
        self.pending_bytes = self.pending_bytes.saturating_add(bytes);
    }

    pub(super) fn remove_pending(&mut self, bytes: i64) {
        self.must_store = true;
        self.pending_rows = self.pending_rows.saturating_sub(1);
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        self.oldest = if self.pending_rows == 0 { Oldest::Known(None) } else { Oldest::Unread };
    }

    /// A pending payload of `before` bytes now has `after`.
    pub(super) fn resize_pending(&mut self, before: i64, after: i64) {
        self.must_store |= before != after;
        self.pending_bytes = self.pending_bytes.saturating_sub(before).saturating_add(after);
    }

    /// `change` lanes more have rows.
    pub(super) fn add_lanes(&mut self, change: i64) {
        self.must_store |= change != 0;
        self.lanes = self.lanes.saturating_add(change);
    }

    /// `change` tasks more are there.
    pub(super) fn add_tasks(&mut self, change: i64) {
        self.must_store |= change != 0;
        self.tasks = self.tasks.saturating_add(change);
    }

    pub(super) fn add_parked(&mut self, bytes: i64) {
        self.must_store = true;
        self.parked_rows = self.parked_rows.saturating_add(1);
        self.parked_bytes = self.parked_bytes.saturating_add(bytes);
    }

    pub(super) fn remove_parked(&mut self, bytes: i64) {
        self.must_store = true;
        self.parked_rows = self.parked_rows.saturating_sub(1);
        self.parked_bytes = self.parked_bytes.saturating_sub(bytes);
    }

    fn totals(&self, oldest: Option<i64>) -> Totals {
        Totals {
            pending_rows: unsigned(self.pending_rows),
            pending_bytes: unsigned(self.pending_bytes),
            parked_rows: unsigned(self.parked_rows),
            parked_bytes: unsigned(self.parked_bytes),
            lanes: unsigned(self.lanes),
            tasks: unsigned(self.tasks),
            oldest: oldest.map(Wall::from_millis),
        }
    }

    /// Bytes that count against `max_pending_bytes`.
    pub(super) fn held_bytes(&self) -> i64 {
        self.pending_bytes.saturating_add(self.parked_bytes)
    }
}
