//! The totals, carried through one transaction and stored with it.

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result};

use super::columns::{signed, unsigned};
use crate::model::{RowKind, Totals};

/// Rare: only for an outbox that is nearly full, and one where rows are held.
const BYTES_OF: &str = "SELECT \
     coalesce((SELECT sum(o.bytes) FROM levi_lanes AS l CROSS JOIN levi_outbox AS o ON o.lane = l.lane WHERE l.user = ?1), 0) \
     + coalesce((SELECT sum(p.bytes) FROM levi_lanes AS l CROSS JOIN levi_parked AS p ON p.lane = l.lane WHERE l.user = ?1), 0)";

/// The totals as this connection last knew them. They are read again only after another connection
/// has written.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedCounters {
    pub(super) counters: Counters,
    pub(super) data_version: i64,
}

impl CachedCounters {
    /// The totals as they are now.
    pub(super) fn refresh(cached: Option<Self>, conn: &Connection) -> Result<Self> {
        let data_version = conn.prepare_cached(DATA_VERSION)?.query_row([], |row| row.get(0))?;
        match cached {
            Some(cached) if cached.data_version == data_version => Ok(cached),
            _ => Ok(Self { counters: Counters::load(conn)?, data_version }),
        }
    }

    /// The totals, unless the oldest row must be looked up first.
    pub(super) fn totals(&self) -> Option<Totals> {
        match self.counters.oldest {
            Oldest::Known(oldest) => Some(self.counters.totals(oldest)),
            Oldest::Unread => None,
        }
    }

    /// The bytes of other users as they are now. Updates `cached` to what to keep.
    pub(super) fn read_held_bytes(cached: &mut Option<Self>, conn: &Connection) -> Result<u64> {
        let mut current = Self::refresh(*cached, conn)?;
        let held = current.counters.held_bytes(conn)?;
        *cached = Some(current);
        Ok(held)
    }

    /// The totals as they are now. Updates `cached` to the totals to keep.
    pub(super) fn read_totals(cached: &mut Option<Self>, conn: &Connection) -> Result<Totals> {
        let mut current = Self::refresh(*cached, conn)?;
        let oldest = conn.prepare_cached(OLDEST)?.query_row([], |row| row.get(0)).optional()?;
        current.counters.oldest = Oldest::Known(oldest);
        *cached = Some(current);
        Ok(current.counters.totals(oldest))
    }
}

/// The totals inside a transaction: loaded when it starts, changed with the rows, saved before it
/// ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counters {
    /// `oldest` is not kept here.
    totals: Totals,
    /// The totals as `levi_totals` has them.
    saved: Totals,
    oldest: Oldest,
    /// Who signed in last.
    user: i64,
    saved_user: i64,
    /// Payload bytes of other users, if they were needed since these changed.
    held_bytes: Option<u64>,
}

/// When the oldest pending row was enqueued, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Oldest {
    /// To be looked up.
    Unread,
    /// `None`: no row is pending.
    Known(Option<i64>),
}

/// The oldest row is the one with the lowest id, because ids ascend and are kept.
pub(super) const OLDEST: &str =
    "SELECT enqueued_at FROM levi_outbox WHERE id = (SELECT min(id) FROM levi_outbox)";

pub(super) const LOAD: &str = "SELECT pending_rows, pending_bytes, parked_rows, parked_bytes, control_rows, \
     parked_control_rows, lanes, user FROM levi_totals WHERE id = 1";

/// Changes whenever another connection commits, and never through a commit of this one.
const DATA_VERSION: &str = "PRAGMA data_version";

const SAVE: &str = "UPDATE levi_totals SET pending_rows = ?1, pending_bytes = ?2, parked_rows = ?3, \
     parked_bytes = ?4, control_rows = ?5, parked_control_rows = ?6, lanes = ?7, user = ?8 WHERE id = 1";

impl Counters {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        conn.prepare_cached(LOAD)?.query_row([], |row| {
            let count = |column| row.get(column).map(unsigned);
            let totals = Totals {
                pending_rows: count(0)?,
                pending_bytes: count(1)?,
                parked_rows: count(2)?,
                parked_bytes: count(3)?,
                control_rows: count(4)?,
                parked_control_rows: count(5)?,
                lanes: count(6)?,
                oldest: None,
            };
            let user = row.get(7)?;
            Ok(Self {
                totals,
                saved: totals,
                oldest: Oldest::Unread,
                user,
                saved_user: user,
                held_bytes: None,
            })
        })
    }

    /// Stores the totals if they changed: one statement for a whole commit.
    pub(super) fn save(&mut self, conn: &Connection) -> Result<()> {
        if self.totals == self.saved && self.user == self.saved_user {
            return Ok(());
        }
        let Totals {
            pending_rows,
            pending_bytes,
            parked_rows,
            parked_bytes,
            control_rows,
            parked_control_rows,
            lanes,
            oldest: _,
        } = self.totals;
        let counts = [
            pending_rows,
            pending_bytes,
            parked_rows,
            parked_bytes,
            control_rows,
            parked_control_rows,
            lanes,
        ];
        let [a, b, c, d, e, f, g] = counts.map(signed);
        conn.prepare_cached(SAVE)?.execute([a, b, c, d, e, f, g, self.user])?;
        (self.saved, self.saved_user) = (self.totals, self.user);
        Ok(())
    }

    /// Who signed in last; [`NOBODY`](super::users::NOBODY) before the first sign-in.
    pub(super) const fn user(&self) -> i64 {
        self.user
    }

    pub(super) fn set_user(&mut self, user: i64) {
        (self.user, self.held_bytes) = (user, None);
    }

    /// Rows of a lane of `user` change.
    pub(super) fn touch(&mut self, user: i64) {
        if user != self.user {
            self.held_bytes = None;
        }
    }

    /// A row changed, of whichever user.
    pub(super) fn forget_held_bytes(&mut self) {
        self.held_bytes = None;
    }

    /// Payload bytes of users other than the one who signed in last. The sum of that one's own is looked up, because
    /// those are fewer where it matters.
    pub(super) fn held_bytes(&mut self, conn: &Connection) -> Result<u64> {
        if let Some(known) = self.held_bytes {
            return Ok(known);
        }
        let held = self.totals.stored_bytes().saturating_sub(bytes_of(conn, self.user)?);
        self.held_bytes = Some(held);
        Ok(held)
    }

    /// [`Totals::would_exceed`].
    pub(super) const fn would_exceed(&self, max_pending_bytes: u64, held_bytes: u64, growth: u64) -> bool {
        self.totals.would_exceed(max_pending_bytes, held_bytes, growth)
    }

    /// A row was added under a new id.
    pub(super) fn append_pending(&mut self, kind: RowKind, bytes: i64, enqueued_at: i64) {
        if self.has_no_pending() {
            self.oldest = Oldest::Known(Some(enqueued_at));
        }
        self.totals.add_pending(kind, unsigned(bytes));
    }

    /// A parked row is pending again under its id, which may be the lowest.
    pub(super) fn return_pending(&mut self, kind: RowKind, bytes: i64) {
        self.oldest = Oldest::Unread;
        self.totals.add_pending(kind, unsigned(bytes));
    }

    /// `rows` rows with `bytes` bytes of payload are gone.
    pub(super) fn remove_pending(&mut self, kind: RowKind, rows: u64, bytes: i64) {
        if rows == 0 {
            return;
        }
        self.totals.remove_pending(kind, rows, unsigned(bytes));
        self.oldest = if self.has_no_pending() { Oldest::Known(None) } else { Oldest::Unread };
    }

    /// A pending payload of `before` bytes now has `after`.
    pub(super) fn resize_pending(&mut self, before: i64, after: i64) {
        let rest = self.totals.pending_bytes.saturating_sub(unsigned(before));
        self.totals.pending_bytes = rest.saturating_add(unsigned(after));
    }

    pub(super) fn add_parked(&mut self, kind: RowKind, bytes: i64) {
        self.totals.add_parked(kind, unsigned(bytes));
    }

    pub(super) fn remove_parked(&mut self, kind: RowKind, bytes: i64) {
        self.totals.remove_parked(kind, unsigned(bytes));
    }

    /// A lane has pending rows now.
    pub(super) fn add_lane(&mut self) {
        self.totals.lanes = self.totals.lanes.saturating_add(1);
    }

    /// A lane has no pending rows any more.
    pub(super) fn remove_lane(&mut self) {
        self.totals.lanes = self.totals.lanes.saturating_sub(1);
    }

    /// Whether a lane may have parked rows.
    pub(super) const fn has_parked(&self) -> bool {
        self.totals.parked_rows > 0 || self.totals.parked_control_rows > 0
    }

    /// The bytes that count against `max_pending_bytes`.
    pub(super) const fn stored_bytes(&self) -> u64 {
        self.totals.stored_bytes()
    }

    const fn has_no_pending(&self) -> bool {
        self.totals.pending_rows == 0 && self.totals.control_rows == 0
    }

    fn totals(&self, oldest: Option<i64>) -> Totals {
        Totals { oldest: oldest.map(Wall::from_millis), ..self.totals }
    }
}

/// Payload bytes of one user.
fn bytes_of(conn: &Connection, user: i64) -> Result<u64> {
    conn.prepare_cached(BYTES_OF)?.query_row([user], |row| row.get(0)).map(unsigned)
}
