//! Changes to rows and lanes, each inside the caller's transaction.

use levi_types::{SessionId, Wall};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::ledger::Ledger;
use super::tasks;
use crate::model::{Change, LaneId, Protection, Reason, RowId, RowKey};

pub(super) const TAKEN_BYTES: &str =
    "SELECT bytes FROM levi_outbox WHERE id = ?1 AND version = ?2 AND lane = ?3";
pub(super) const TAKE: &str = "DELETE FROM levi_outbox WHERE id = ?1";
pub(super) const HAS_ROWS: &str = "SELECT EXISTS (SELECT 1 FROM levi_outbox WHERE lane = ?1)";
pub(super) const SETTLE: &str = "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL, \
     due_at = ?2 WHERE lane = ?1";
pub(super) const DEFER: &str = "UPDATE levi_lanes SET due_at = ?2, attempts = ?3, reason_code = ?4, reason_detail = ?5 \
     WHERE lane = ?1 AND due_at IS NOT NULL";
pub(super) const DROP_EMPTY_LANE: &str = "DELETE FROM levi_lanes WHERE lane = ?1 AND due_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM levi_parked WHERE levi_parked.lane = levi_lanes.lane)";
pub(super) const SET_ASIDE: &str = "INSERT INTO levi_parked (id, lane, sequence_number, version, bytes, protection, \
     enqueued_at, message_id, parked_at, reason_code, reason_detail, payload) \
     SELECT id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, ?4, ?5, ?6, payload \
     FROM levi_outbox WHERE id = ?1 AND version = ?2 AND lane = ?3";
pub(super) const PUT_BACK: &str = "INSERT INTO levi_outbox \
     (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     SELECT id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload \
     FROM levi_parked WHERE id = ?1";
pub(super) const DROP_PARKED: &str = "DELETE FROM levi_parked WHERE id = ?1 RETURNING lane, bytes";
pub(super) const WAS_EMPTY: &str = "SELECT due_at IS NULL FROM levi_lanes WHERE lane = ?1";
pub(super) const REVIVE_LANE: &str = "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL, \
     due_at = min(coalesce(due_at, ?2), ?2) WHERE lane = ?1";
pub(super) const DISCARD: &str =
    "DELETE FROM levi_outbox WHERE id = ?1 RETURNING lane, sequence_number, bytes";
pub(super) const EMPTY_LANE: &str = "UPDATE levi_lanes SET due_at = NULL WHERE lane = ?1";
pub(super) const HAS_EARLIER: &str =
    "SELECT EXISTS (SELECT 1 FROM levi_outbox WHERE lane = ?1 AND sequence_number < ?2)";
pub(super) const FORGIVE_LANE: &str =
    "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL WHERE lane = ?1";
pub(super) const LENGTH: &str = "SELECT bytes FROM levi_outbox WHERE id = ?1 AND version = ?2";
pub(super) const RESEAL: &str =
    "UPDATE levi_outbox SET payload = ?2, bytes = ?3, protection = ?4 WHERE id = ?1";
pub(super) const RETRY_LANES: &str = "UPDATE levi_lanes SET due_at = ?1 WHERE due_at > ?1";
pub(super) const RETRY_LANE: &str = "UPDATE levi_lanes SET due_at = ?2 WHERE session_id = ?1 AND due_at > ?2";

/// Applies one change. A change for a version that is gone does nothing.
pub(super) fn apply(conn: &Connection, ledger: &mut Ledger, change: &Change) -> Result<()> {
    match change {
        Change::Acknowledge { lane, rows, at } => acknowledge(conn, ledger, *lane, rows, *at),
        Change::Defer { lane, due_at, attempts, reason } => defer(conn, *lane, *due_at, *attempts, reason),
        Change::Park { lane, row, reason, at } => park(conn, ledger, *lane, *row, reason, *at),
        Change::Reseal { row, payload } => reseal(conn, ledger, *row, payload),
        Change::RetryNow { at } => retry_now(conn, *at),
        Change::RetrySession { session_id, at } => retry_session(conn, session_id, *at),
        Change::Unpark { row, at } => unpark(conn, ledger, *row, *at),
        Change::Discard { row } => discard(conn, ledger, *row),
        Change::PutTask(task) => tasks::put(conn, ledger, task),
        Change::EnsureTask(task) => tasks::ensure(conn, ledger, task),
        Change::UnparkTask { name, at } => tasks::unpark(conn, name, *at),
        Change::DiscardTask { name } => tasks::discard(conn, ledger, name),
        Change::FinishTask { name, version } => tasks::finish(conn, ledger, name, *version),
        Change::DeferTask { name, version, due_at, attempts, reason } => {
            tasks::defer(conn, (name, *version), *due_at, *attempts, reason)
        }
        Change::ParkTask { name, version, reason } => tasks::park(conn, (name, *version), reason),
    }
}

fn acknowledge(
    conn: &Connection,
    ledger: &mut Ledger,
    lane: LaneId,
    rows: &[RowKey],
    at: Wall,
) -> Result<()> {
    // Two statements and not RETURNING, for which SQLite sets up a table in memory each time: that made an
    // acknowledgement as dear as storing the row.
    let mut find = conn.prepare_cached(TAKEN_BYTES)?;
    let mut take = conn.prepare_cached(TAKE)?;
    let mut taken = 0;
    for row in rows {
        let bytes = find.query_row((row.id.0, row.version, lane.0), |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            take.execute([row.id.0])?;
            ledger.remove_pending(bytes);
            taken += 1;
        }
    }
    settle(conn, ledger, lane, taken, at)
}

/// After an answer: `taken` rows are gone, what is left is due again, and a lane with nothing left goes too.
fn settle(conn: &Connection, ledger: &mut Ledger, lane: LaneId, taken: i64, at: Wall) -> Result<()> {
    let has_rows = has_rows(conn, lane.0)?;
    conn.prepare_cached(SETTLE)?.execute((lane.0, has_rows.then(|| at.as_millis())))?;
    if !has_rows {
        ledger.add_lanes(-i64::from(taken > 0));
        drop_if_empty(conn, lane)?;
    }
    Ok(())
}

fn has_rows(conn: &Connection, lane: i64) -> Result<bool> {
    conn.prepare_cached(HAS_ROWS)?.query_row([lane], |row| row.get(0))
}

fn drop_if_empty(conn: &Connection, lane: LaneId) -> Result<()> {
    conn.prepare_cached(DROP_EMPTY_LANE)?.execute([lane.0])?;
    Ok(())
}

fn defer(conn: &Connection, lane: LaneId, due_at: Wall, attempts: u32, reason: &Reason) -> Result<()> {
    let changed = conn.prepare_cached(DEFER)?.execute(params![
        lane.0,
        due_at.as_millis(),
        attempts,
        reason.code,
        reason.detail
    ])?;
    if changed == 0 { drop_if_empty(conn, lane) } else { Ok(()) }
}

fn park(
    conn: &Connection,
    ledger: &mut Ledger,
    lane: LaneId,
    row: RowKey,
    reason: &Reason,
    at: Wall,
) -> Result<()> {
    let moved = conn.prepare_cached(SET_ASIDE)?.execute(params![
        row.id.0,
        row.version,
        lane.0,
        at.as_millis(),
        reason.code,
        reason.detail
    ])?;
    if moved == 0 {
        return drop_if_empty(conn, lane);
    }
    let bytes =
        conn.prepare_cached(TAKEN_BYTES)?.query_row((row.id.0, row.version, lane.0), |row| row.get(0))?;
    conn.prepare_cached(TAKE)?.execute([row.id.0])?;
    ledger.remove_pending(bytes);
    ledger.add_parked(bytes);
    settle(conn, ledger, lane, 1, at)
}

fn unpark(conn: &Connection, ledger: &mut Ledger, row: RowId, at: Wall) -> Result<()> {
    if conn.prepare_cached(PUT_BACK)?.execute([row.0])? == 0 {
        return Ok(());
    }
    let (lane, bytes): (i64, i64) =
        conn.prepare_cached(DROP_PARKED)?.query_row([row.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    ledger.remove_parked(bytes);
    ledger.return_pending(row.0, bytes);
    let was_empty: bool = conn.prepare_cached(WAS_EMPTY)?.query_row([lane], |row| row.get(0))?;
    conn.prepare_cached(REVIVE_LANE)?.execute([lane, at.as_millis()])?;
    ledger.add_lanes(i64::from(was_empty));
    Ok(())
}

/// Removes a row wherever it is. An emptied lane stays until an answer settles it or the outbox is opened again:
/// the row may be on its way, and a new lane for the session could then be sent beside it.
fn discard(conn: &Connection, ledger: &mut Ledger, row: RowId) -> Result<()> {
    let parked = conn.prepare_cached(DROP_PARKED)?.query_row([row.0], |row| row.get(1)).optional()?;
    if let Some(bytes) = parked {
        ledger.remove_parked(bytes);
        return Ok(());
    }
    let pending = conn
        .prepare_cached(DISCARD)?
        .query_row([row.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((lane, sequence_number, bytes)) = pending else { return Ok(()) };
    let (lane, sequence_number): (i64, i64) = (lane, sequence_number);
    ledger.remove_pending(bytes);
    if !has_rows(conn, lane)? {
        conn.prepare_cached(EMPTY_LANE)?.execute([lane])?;
        ledger.add_lanes(-1);
    }
    // Attempts are the first row's: its successor starts afresh, or it would be given up too early.
    let has_earlier: bool =
        conn.prepare_cached(HAS_EARLIER)?.query_row([lane, sequence_number], |row| row.get(0))?;
    if !has_earlier {
        conn.prepare_cached(FORGIVE_LANE)?.execute([lane])?;
    }
    Ok(())
}

fn reseal(conn: &Connection, ledger: &mut Ledger, row: RowKey, payload: &[u8]) -> Result<()> {
    let before: Option<i64> = conn
        .prepare_cached(LENGTH)?
        .query_row(params![row.id.0, row.version], |row| row.get(0))
        .optional()?;
    let Some(before) = before else { return Ok(()) };
    let bytes = i64::try_from(payload.len()).unwrap_or(i64::MAX);
    let sealed = super::columns::protection_code(Protection::Sealed);
    conn.prepare_cached(RESEAL)?.execute(params![row.id.0, payload, bytes, sealed])?;
    ledger.resize_pending(before, bytes);
    Ok(())
}

/// Rare and for everything, so a pass over all lanes is fine.
fn retry_now(conn: &Connection, at: Wall) -> Result<()> {
    conn.prepare_cached(RETRY_LANES)?.execute([at.as_millis()])?;
    tasks::retry_now(conn, at)
}

fn retry_session(conn: &Connection, session_id: &SessionId, at: Wall) -> Result<()> {
    conn.prepare_cached(RETRY_LANE)?.execute(params![session_id.as_str(), at.as_millis()])?;
    Ok(())
}
