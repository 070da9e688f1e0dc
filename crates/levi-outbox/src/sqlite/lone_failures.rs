//! Rows that fail alone: their counts survive a restart.

use rusqlite::{Connection, OptionalExtension, Result};

use crate::model::{LaneId, LoneFailure, RowId, RowKey};

pub(super) const NOTE: &str = "INSERT INTO levi_lone_failures (lane, id, version, together, failures, is_surpassed) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (lane) DO UPDATE SET id = excluded.id, version = excluded.version, \
     together = excluded.together, failures = excluded.failures, is_surpassed = excluded.is_surpassed";
pub(super) const FORGET: &str = "DELETE FROM levi_lone_failures WHERE lane = ?1";
const FORGET_GONE: &str = "DELETE FROM levi_lone_failures \
     WHERE lane <> 0 AND NOT EXISTS (SELECT 1 FROM levi_outbox AS o NOT INDEXED WHERE o.id = levi_lone_failures.id)";
/// No lane has the number 0: its entry says how many rows were parked on the evidence of probes.
const NOTE_PARKED: &str = "INSERT INTO levi_lone_failures (lane, id, version, together, failures, is_surpassed) \
     VALUES (0, 0, 0, 0, ?1, 0) ON CONFLICT (lane) DO UPDATE SET failures = excluded.failures";
const PARKED: &str = "SELECT failures FROM levi_lone_failures WHERE lane = 0";
/// Of rows that are pending in the version that failed.
const ALL: &str = "SELECT f.lane, f.id, f.version, together, failures, is_surpassed FROM levi_lone_failures AS f \
     CROSS JOIN levi_outbox AS o ON o.id = f.id AND o.version = f.version AND o.lane = f.lane";

pub(super) fn note(conn: &Connection, failure: &LoneFailure) -> Result<()> {
    let LoneFailure { lane, row, together, failures, is_surpassed } = failure;
    let values = (lane.0, row.id.0, row.version, together, failures, is_surpassed);
    conn.prepare_cached(NOTE)?.execute(values).map(drop)
}

/// A row of the lane was parked: one that is unparked begins anew.
pub(super) fn forget(conn: &Connection, lane: LaneId) -> Result<()> {
    conn.prepare_cached(FORGET)?.execute([lane.0]).map(drop)
}

/// The rows that have left the outbox need no entry.
pub(super) fn forget_gone(conn: &Connection) -> Result<()> {
    conn.execute(FORGET_GONE, []).map(drop)
}

pub(super) fn note_parked(conn: &Connection, rows: u32) -> Result<()> {
    conn.prepare_cached(NOTE_PARKED)?.execute([rows]).map(drop)
}

pub(super) fn parked(conn: &Connection) -> Result<u32> {
    let rows = conn.prepare_cached(PARKED)?.query_row([], |row| row.get(0)).optional()?;
    Ok(rows.unwrap_or_default())
}

pub(super) fn all(conn: &Connection) -> Result<Vec<LoneFailure>> {
    let failure = |row: &rusqlite::Row<'_>| {
        Ok(LoneFailure {
            lane: LaneId(row.get(0)?),
            row: RowKey { id: RowId(row.get(1)?), version: row.get(2)? },
            together: row.get(3)?,
            failures: row.get(4)?,
            is_surpassed: row.get(5)?,
        })
    };
    conn.prepare_cached(ALL)?.query_map([], failure)?.collect()
}
