//! Payloads, rows to reseal, and the state of single rows.

use rusqlite::{Connection, OptionalExtension, Result, Statement, ToSql, params};

use super::columns::{self, head_columns};
use crate::model::{Encryption, LaneId, LaneKey, NewRow, RowId, RowKey, RowState};
use crate::store::PayloadSink;

pub(super) const PAYLOAD: &str = "SELECT message_id, payload FROM levi_outbox WHERE id = ?1 AND version = ?2";
pub(super) const PARKED_PAYLOAD: &str =
    "SELECT message_id, payload FROM levi_parked WHERE id = ?1 AND version = ?2";
pub(super) const UNDER_DATABASE_KEY: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", message_id, payload FROM levi_outbox WHERE lane = ?1 AND protection = 1 \
     ORDER BY sequence_number LIMIT ?2"
);

pub(super) fn payloads(conn: &Connection, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<()> {
    let mut pending = conn.prepare_cached(PAYLOAD)?;
    for key in rows {
        let params = params![key.id.0, key.version];
        if !pass_to_sink(&mut pending, params, *key, sink)? {
            let mut parked = conn.prepare_cached(PARKED_PAYLOAD)?;
            pass_to_sink(&mut parked, params, *key, sink)?;
        }
    }
    Ok(())
}

/// Passes SQLite's own buffer to the sink, so that no payload is copied here. Returns whether the
/// row was found.
fn pass_to_sink(
    statement: &mut Statement<'_>,
    params: &[&dyn ToSql],
    key: RowKey,
    sink: PayloadSink<'_>,
) -> Result<bool> {
    let mut rows = statement.query(params)?;
    let Some(row) = rows.next()? else { return Ok(false) };
    sink(key, row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_blob()?);
    Ok(true)
}

pub(super) fn rows_under_database_key(
    conn: &Connection,
    lane: LaneId,
    limit: usize,
) -> Result<Vec<(RowKey, NewRow)>> {
    let key = conn
        .prepare_cached("SELECT kind, subject FROM levi_lanes WHERE lane = ?1")?
        .query_row([lane.0], |row| columns::lane_key(row, 0))
        .optional()?;
    let Some(key @ LaneKey::Messages(_)) = key else { return Ok(Vec::new()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(UNDER_DATABASE_KEY)?
        .query_map([lane.0, limit], |row| {
            let head = columns::head(row)?;
            let new_row = NewRow {
                user: None,
                lane: key.clone(),
                parent: None,
                sequence_number: head.sequence_number,
                message_id: row.get_ref(6)?.as_str()?.into(),
                payload: row.get(7)?,
                encryption: Encryption::DatabaseKey,
                enqueued_at: head.enqueued_at,
            };
            Ok((head.key, new_row))
        })?
        .collect()
}

pub(super) fn row_state(conn: &Connection, row: RowId) -> Result<RowState> {
    let pending = conn
        .prepare_cached("SELECT version FROM levi_outbox WHERE id = ?1")?
        .query_row([row.0], |row| row.get(0))
        .optional()?;
    if let Some(version) = pending {
        return Ok(RowState::Pending(version));
    }
    let reason = conn
        .prepare_cached("SELECT reason_code, reason_detail FROM levi_parked WHERE id = ?1")?
        .query_row([row.0], |row| columns::reason(row, 0))
        .optional()?
        .flatten();
    Ok(reason.map_or(RowState::Gone, RowState::Parked))
}
