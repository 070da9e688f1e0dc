//! The one row of a control lane.

use rusqlite::{Connection, OptionalExtension, Result};

use super::columns;
use crate::model::{LaneId, LaneKey, PendingControlRow, RowId, RowKey};

pub(super) const PENDING_CONTROL_ROW: &str = "SELECT lane, id, version, payload FROM levi_outbox \
     WHERE lane = (SELECT lane FROM levi_lanes WHERE kind = ?1 AND subject = ?2) LIMIT 1";

pub(super) fn pending(conn: &Connection, lane: &LaneKey) -> Result<Option<PendingControlRow>> {
    if !lane.kind().is_control() {
        return Ok(None);
    }
    let row = |row: &rusqlite::Row<'_>| {
        Ok(PendingControlRow {
            lane: LaneId(row.get(0)?),
            row: RowKey { id: RowId(row.get(1)?), version: row.get(2)? },
            payload: row.get(3)?,
        })
    };
    let key = (columns::kind_code(lane.kind()), lane.subject());
    conn.prepare_cached(PENDING_CONTROL_ROW)?.query_row(key, row).optional()
}
