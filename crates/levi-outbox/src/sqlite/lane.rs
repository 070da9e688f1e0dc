//! Lanes after a change to their rows: when they are due, their attempts, and the end of a lane.

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::blocking;
use super::columns::{kind, kind_code};
use super::counters::Counters;
use crate::model::{LaneId, LaneKey, Reason, RowKind};

pub(super) const STATE: &str = "SELECT kind, EXISTS (SELECT 1 FROM levi_outbox AS o WHERE o.lane = l.lane), \
     EXISTS (SELECT 1 FROM levi_parked AS p WHERE p.lane = l.lane), user FROM levi_lanes AS l WHERE lane = ?1";
pub(super) const SETTLE: &str = "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL, \
     due_at = ?2 WHERE lane = ?1";
pub(super) const DEFER: &str = "UPDATE levi_lanes SET due_at = ?2, attempts = ?3, reason_code = ?4, reason_detail = ?5 \
     WHERE lane = ?1 AND due_at IS NOT NULL";
pub(super) const REMOVE: &str = "DELETE FROM levi_lanes WHERE lane = ?1";
pub(super) const REMOVE_IF_EMPTY: &str = "DELETE FROM levi_lanes WHERE lane = ?1 AND due_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM levi_parked WHERE levi_parked.lane = levi_lanes.lane)";
pub(super) const REVIVE: &str = "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL, \
     due_at = min(coalesce(due_at, ?2), ?2) WHERE lane = ?1";
pub(super) const DRAIN: &str = "UPDATE levi_lanes SET due_at = NULL WHERE lane = ?1";
pub(super) const RESET_ATTEMPTS: &str =
    "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL WHERE lane = ?1";
pub(super) const RETRY_ALL: &str = "UPDATE levi_lanes SET due_at = ?2 WHERE user = ?1 AND due_at > ?2";
pub(super) const RETRY: &str =
    "UPDATE levi_lanes SET due_at = ?3 WHERE kind = ?1 AND subject = ?2 AND due_at > ?3";

/// Pending rows of one lane that a change removed.
#[derive(Clone, Copy, Default)]
pub(super) struct Removed {
    rows: u64,
    bytes: i64,
}

impl Removed {
    pub(super) fn one(bytes: i64) -> Self {
        Self { rows: 1, bytes }
    }

    pub(super) fn add(&mut self, bytes: i64) {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What a lane has.
pub(super) struct LaneState {
    pub(super) kind: RowKind,
    pub(super) has_pending: bool,
    pub(super) has_parked: bool,
    /// For whom it waits.
    pub(super) user: i64,
}

pub(super) fn state(conn: &Connection, lane: i64) -> Result<Option<LaneState>> {
    conn.prepare_cached(STATE)?
        .query_row([lane], |row| {
            let (kind, has_pending, has_parked) = (kind(row, 0)?, row.get(1)?, row.get(2)?);
            Ok(LaneState { kind, has_pending, has_parked, user: row.get(3)? })
        })
        .optional()
}

/// After an answer: `removed` is gone, what is left is due again, and an empty lane is removed.
pub(super) fn settle(
    conn: &Connection,
    counters: &mut Counters,
    lane: i64,
    removed: Removed,
    at: Wall,
) -> Result<Option<RowKind>> {
    let Some(state) = state(conn, lane)? else { return Ok(None) };
    counters.touch(state.user);
    counters.remove_pending(state.kind, removed.rows, removed.bytes);
    if !state.has_pending && removed.rows > 0 {
        counters.remove_lane();
    }
    if state.has_pending || state.has_parked {
        let due_at = state.has_pending.then(|| at.as_millis());
        conn.prepare_cached(SETTLE)?.execute((lane, due_at))?;
    } else {
        conn.prepare_cached(REMOVE)?.execute([lane])?;
        blocking::unblock_children(conn, lane, state.kind)?;
    }
    Ok(Some(state.kind))
}

/// A lane that a discard has emptied is removed by the answer to what was in flight.
pub(super) fn remove_if_empty(conn: &Connection, lane: LaneId) -> Result<()> {
    conn.prepare_cached(REMOVE_IF_EMPTY)?.execute([lane.0])?;
    Ok(())
}

pub(super) fn defer(
    conn: &Connection,
    lane: LaneId,
    due_at: Wall,
    attempts: u32,
    reason: &Reason,
) -> Result<()> {
    let changed = conn.prepare_cached(DEFER)?.execute(params![
        lane.0,
        due_at.as_millis(),
        attempts,
        reason.code,
        reason.detail
    ])?;
    if changed == 0 { remove_if_empty(conn, lane) } else { Ok(()) }
}

/// Rare and for everything of the user's, so a pass over all lanes is fine.
pub(super) fn retry_all(conn: &Connection, user: i64, at: Wall) -> Result<()> {
    conn.prepare_cached(RETRY_ALL)?.execute([user, at.as_millis()]).map(drop)
}

pub(super) fn retry(conn: &Connection, lane: &LaneKey, at: Wall) -> Result<()> {
    let key = (kind_code(lane.kind()), lane.subject(), at.as_millis());
    conn.prepare_cached(RETRY)?.execute(key).map(drop)
}

/// An unparked row makes its lane due at `at`, or earlier if it was.
pub(super) fn revive(conn: &Connection, lane: i64, at: Wall) -> Result<()> {
    conn.prepare_cached(REVIVE)?.execute([lane, at.as_millis()]).map(drop)
}

/// The last pending row was discarded. The lane stays until an answer settles it or the outbox is
/// opened again: the row may be in flight, and a new lane of the same name could then be sent
/// beside it.
pub(super) fn drain(conn: &Connection, counters: &mut Counters, lane: i64) -> Result<()> {
    counters.remove_lane();
    conn.prepare_cached(DRAIN)?.execute([lane]).map(drop)
}

/// The first row was discarded.
pub(super) fn reset_attempts(conn: &Connection, lane: i64) -> Result<()> {
    conn.prepare_cached(RESET_ATTEMPTS)?.execute([lane]).map(drop)
}
