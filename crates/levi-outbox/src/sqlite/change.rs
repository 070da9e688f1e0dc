//! Changes to rows, each inside the caller's transaction.

use std::collections::BTreeMap;

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::columns::{encryption_code, kind_code};
use super::counters::Counters;
use super::lane::{self, LaneState, Removed};
use super::lane_cache::LaneCache;
use super::{blocking, enqueue, lone_failures, overwrites, synced, users};
use crate::model::{Change, Encryption, LaneId, NewRow, Reason, RowId, RowKey, RowKind};

pub(super) const PENDING_BYTES: &str =
    "SELECT bytes FROM levi_outbox WHERE id = ?1 AND version = ?2 AND lane = ?3";
pub(super) const REMOVE: &str = "DELETE FROM levi_outbox WHERE id = ?1";
pub(super) const PARK: &str = "INSERT INTO levi_parked (id, lane, sequence_number, version, bytes, protection, \
     enqueued_at, message_id, parked_at, reason_code, reason_detail, payload) \
     SELECT id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, ?4, ?5, ?6, payload \
     FROM levi_outbox WHERE id = ?1 AND version = ?2 AND lane = ?3";
pub(super) const UNPARK: &str = "INSERT INTO levi_outbox \
     (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     SELECT id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload \
     FROM levi_parked WHERE id = ?1";
pub(super) const FIND_PARKED: &str = "SELECT lane, sequence_number, bytes FROM levi_parked WHERE id = ?1";
pub(super) const FIND_PENDING: &str = "SELECT lane, sequence_number, bytes FROM levi_outbox WHERE id = ?1";
pub(super) const HAS_EARLIER: &str =
    "SELECT EXISTS (SELECT 1 FROM levi_outbox WHERE lane = ?1 AND sequence_number < ?2)";
pub(super) const LENGTH: &str = "SELECT bytes FROM levi_outbox WHERE id = ?1 AND version = ?2";
pub(super) const RESEAL: &str =
    "UPDATE levi_outbox SET payload = ?2, bytes = ?3, protection = ?4 WHERE id = ?1";
pub(super) const SAME_CONTROL_ROW: &str = "SELECT due_at IS NULL, (SELECT id FROM levi_parked AS p WHERE p.lane = l.lane) \
     FROM levi_lanes AS l WHERE kind = ?1 AND subject = ?2 AND (?3 IS NULL OR repository_id IS ?3)";
/// The numbers are those of [`kind_code`]: a session's row, or its messages.
pub(super) const NOTE_SESSION_SENT: &str = "INSERT OR IGNORE INTO levi_sessions_sent (session_id) \
     SELECT subject FROM levi_lanes WHERE lane = ?1 AND kind IN (1, 3)";
/// For a session whose lane is not known.
pub(super) const NOTE_SENT: &str = "INSERT OR IGNORE INTO levi_sessions_sent (session_id) VALUES (?1)";
pub(super) const NOTE_DISCARDED: &str = "INSERT OR IGNORE INTO levi_discarded (id) VALUES (?1)";
pub(super) const ARRIVED_AFTER_ALL: &str = "DELETE FROM levi_discarded WHERE id = ?1";

const PAUSE: &str = "INSERT INTO levi_pause (id, until) VALUES (1, ?1) \
     ON CONFLICT (id) DO UPDATE SET until = excluded.until";
const PAUSED_UNTIL: &str = "SELECT until FROM levi_pause WHERE id = 1";

/// Applies one change. A change for a version that is gone does nothing.
pub(super) fn apply(conn: &Connection, counters: &mut Counters, change: &Change) -> Result<()> {
    match change {
        Change::SignedIn { user } => users::signed_in(conn, counters, user),
        Change::Acknowledge { .. } => acknowledge(conn, counters, std::slice::from_ref(change)),
        Change::NoteSynced { .. } => synced::note(conn, counters, change),
        Change::Defer { lane, due_at, attempts, reason } => {
            lane::defer(conn, *lane, *due_at, *attempts, reason)
        }
        Change::NoteLoneFailure(failure) => lone_failures::note(conn, failure),
        Change::NoteParkedOnProbes { rows } => lone_failures::note_parked(conn, *rows),
        Change::Park { lane, row, reason, at } => park(conn, counters, *lane, *row, reason, *at),
        Change::Reseal { row, payload } => reseal(conn, counters, *row, payload),
        Change::Pause { until } => pause(conn, *until),
        Change::RetryNow { at } => lane::retry_all(conn, counters.user(), *at),
        Change::RetryLane { lane, at } => lane::retry(conn, lane, *at),
        Change::Unpark { row, at } => unpark(conn, counters, *row, *at),
        Change::Discard { row } => discard(conn, counters, *row),
        Change::Ensure(row) => ensure(conn, counters, row),
    }
}

fn pause(conn: &Connection, until: Wall) -> Result<()> {
    conn.prepare_cached(PAUSE)?.execute([until.as_millis()]).map(drop)
}

pub(super) fn paused_until(conn: &Connection) -> Result<Option<Wall>> {
    let until = conn.prepare_cached(PAUSED_UNTIL)?.query_row([], |row| row.get(0)).optional()?;
    Ok(until.map(Wall::from_millis))
}

/// Applies `changes` in order.
pub(super) fn apply_all(conn: &Connection, counters: &mut Counters, changes: &[Change]) -> Result<()> {
    for run in changes.chunk_by(|one, next| is_of_an_answer(one) && is_of_an_answer(next)) {
        for change in run.iter().filter(|change| !matches!(change, Change::Acknowledge { .. })) {
            apply(conn, counters, change)?;
        }
        acknowledge(conn, counters, run)?;
    }
    Ok(())
}

/// What a request that was accepted changes. A run of these has the same effect in any order.
fn is_of_an_answer(change: &Change) -> bool {
    matches!(change, Change::Acknowledge { .. } | Change::NoteSynced { .. })
}

/// What acknowledgements remove from a lane, and when the last of them came.
struct Acknowledged {
    removed: Removed,
    at: Wall,
}

/// Applies the acknowledgements among `changes`. The rows are removed in the order in which they lie on disk: those of
/// several lanes share pages, and a page that loses its last row is freed without being written.
fn acknowledge(conn: &Connection, counters: &mut Counters, changes: &[Change]) -> Result<()> {
    let (mut lanes, mut rows) = (BTreeMap::new(), Vec::new());
    for change in changes {
        let Change::Acknowledge { lane, rows: taken, at } = change else { continue };
        lanes.entry(*lane).or_insert(Acknowledged { removed: Removed::default(), at: *at }).at = *at;
        rows.extend(taken.iter().map(|row| (*row, *lane)));
    }
    if lanes.is_empty() {
        return Ok(());
    }
    rows.sort_unstable_by_key(|(row, _)| row.id);
    // Two statements and not RETURNING, because SQLite creates a table in memory for that each
    // time, which made an acknowledgement as expensive as storing the row.
    let mut find = conn.prepare_cached(PENDING_BYTES)?;
    let mut remove = conn.prepare_cached(REMOVE)?;
    for (row, lane) in rows {
        let bytes = find.query_row((row.id.0, row.version, lane.0), |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            remove.execute([row.id.0])?;
            lanes.entry(lane).and_modify(|lane| lane.removed.add(bytes));
        } else {
            // Whatever was done to it meanwhile, the server has it.
            conn.prepare_cached(ARRIVED_AFTER_ALL)?.execute([row.id.0])?;
            overwrites::used(conn, row.id.0, row.version)?;
        }
    }
    for (lane, Acknowledged { removed, at }) in lanes {
        conn.prepare_cached(NOTE_SESSION_SENT)?.execute([lane.0])?;
        lane::settle(conn, counters, lane.0, removed, at)?;
    }
    Ok(())
}

fn park(
    conn: &Connection,
    counters: &mut Counters,
    lane: LaneId,
    row: RowKey,
    reason: &Reason,
    at: Wall,
) -> Result<()> {
    let moved = conn.prepare_cached(PARK)?.execute(params![
        row.id.0,
        row.version,
        lane.0,
        at.as_millis(),
        reason.code,
        reason.detail
    ])?;
    if moved == 0 {
        return lane::remove_if_empty(conn, lane);
    }
    let key = (row.id.0, row.version, lane.0);
    let bytes = conn.prepare_cached(PENDING_BYTES)?.query_row(key, |row| row.get(0))?;
    conn.prepare_cached(REMOVE)?.execute([row.id.0])?;
    lone_failures::forget(conn, lane)?;
    if let Some(kind) = lane::settle(conn, counters, lane.0, Removed::one(bytes), at)? {
        counters.add_parked(kind, bytes);
    }
    Ok(())
}

/// Where a row is.
struct Location {
    lane: i64,
    sequence_number: i64,
    bytes: i64,
}

fn find(conn: &Connection, sql: &str, row: RowId) -> Result<Option<Location>> {
    conn.prepare_cached(sql)?
        .query_row([row.0], |row| {
            Ok(Location { lane: row.get(0)?, sequence_number: row.get(1)?, bytes: row.get(2)? })
        })
        .optional()
}

fn unpark(conn: &Connection, counters: &mut Counters, row: RowId, at: Wall) -> Result<()> {
    let Some(Location { lane, bytes, .. }) = find(conn, FIND_PARKED, row)? else { return Ok(()) };
    let Some(state) = lane::state(conn, lane)? else { return Ok(()) };
    conn.prepare_cached(UNPARK)?.execute([row.0])?;
    conn.prepare_cached(enqueue::REMOVE_PARKED)?.execute([row.0])?;
    counters.remove_parked(state.kind, bytes);
    counters.return_pending(state.kind, bytes);
    if !state.has_pending {
        counters.add_lane();
    }
    lane::revive(conn, lane, at)
}

fn discard(conn: &Connection, counters: &mut Counters, row: RowId) -> Result<()> {
    let parked = find(conn, FIND_PARKED, row)?;
    let pending = if parked.is_none() { find(conn, FIND_PENDING, row)? } else { None };
    let Some(location) = parked.as_ref().or(pending.as_ref()) else { return Ok(()) };
    if blocking::blocks_rows(conn, location.lane)? {
        return Ok(());
    }
    let Some(LaneState { kind, user, .. }) = lane::state(conn, location.lane)? else { return Ok(()) };
    counters.touch(user);
    conn.prepare_cached(NOTE_DISCARDED)?.execute([row.0])?;
    if parked.is_some() {
        conn.prepare_cached(enqueue::REMOVE_PARKED)?.execute([row.0])?;
        counters.remove_parked(kind, location.bytes);
    } else {
        conn.prepare_cached(REMOVE)?.execute([row.0])?;
        discard_pending(conn, counters, kind, location)?;
    }
    match lane::state(conn, location.lane)? {
        Some(LaneState { has_pending: false, has_parked: false, .. }) => {
            blocking::unblock_children(conn, location.lane, kind)
        }
        _ => Ok(()),
    }
}

fn discard_pending(conn: &Connection, counters: &mut Counters, kind: RowKind, row: &Location) -> Result<()> {
    counters.remove_pending(kind, 1, row.bytes);
    if !lane::state(conn, row.lane)?.is_some_and(|state| state.has_pending) {
        lane::drain(conn, counters, row.lane)?;
    }
    // Attempts are the first row's: its successor starts anew, or it would be parked too early.
    let has_earlier: bool =
        conn.prepare_cached(HAS_EARLIER)?.query_row([row.lane, row.sequence_number], |row| row.get(0))?;
    if has_earlier { Ok(()) } else { lane::reset_attempts(conn, row.lane) }
}

fn reseal(conn: &Connection, counters: &mut Counters, row: RowKey, payload: &[u8]) -> Result<()> {
    let before: Option<i64> = conn
        .prepare_cached(LENGTH)?
        .query_row(params![row.id.0, row.version], |row| row.get(0))
        .optional()?;
    let Some(before) = before else { return Ok(()) };
    let bytes = i64::try_from(payload.len()).unwrap_or(i64::MAX);
    let session_key = encryption_code(Encryption::SessionKey);
    conn.prepare_cached(RESEAL)?.execute(params![row.id.0, payload, bytes, session_key])?;
    counters.resize_pending(before, bytes);
    // Whose lane it is in is not looked up for this.
    counters.forget_held_bytes();
    Ok(())
}

/// The control row that an [`Change::Ensure`] finds.
struct SameRow {
    is_pending: bool,
    parked: Option<i64>,
}

fn ensure(conn: &Connection, counters: &mut Counters, new: &NewRow) -> Result<()> {
    let repository = new.repository().map(levi_types::RepositoryId::as_str);
    let same = conn
        .prepare_cached(SAME_CONTROL_ROW)?
        .query_row((kind_code(new.kind()), new.lane.subject(), repository), |row| {
            Ok(SameRow { is_pending: !row.get::<_, bool>(0)?, parked: row.get(1)? })
        })
        .optional()?;
    match same {
        Some(SameRow { is_pending: true, .. }) => Ok(()),
        Some(SameRow { parked: Some(row), .. }) => unpark(conn, counters, RowId(row), new.enqueued_at),
        _ => {
            let rows = std::slice::from_ref(new);
            enqueue::store_rows(conn, counters, &mut LaneCache::default(), rows, u64::MAX).map(drop)
        }
    }
}
