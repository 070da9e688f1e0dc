//! Everything else that is read.

use rusqlite::{Connection, OptionalExtension, Result, Row, Statement, ToSql, params};

use super::columns::{self, head_columns};
use crate::model::{LaneId, ListedRow, NewRow, Protection, RowHead, RowId, RowKey, RowState};
use crate::store::PayloadSink;

pub(super) const PAYLOAD: &str = "SELECT message_id, payload FROM levi_outbox WHERE id = ?1 AND version = ?2";
pub(super) const PARKED_PAYLOAD: &str =
    "SELECT message_id, payload FROM levi_parked WHERE id = ?1 AND version = ?2";
pub(super) const AT_REST: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", message_id, payload FROM levi_outbox WHERE lane = ?1 AND protection = 1 \
     ORDER BY sequence_number LIMIT ?2"
);
pub(super) const LIST_PENDING: &str = "SELECT id, o.version, sequence_number, bytes, protection, enqueued_at, \
     message_id, session_id, attempts, due_at, reason_code, reason_detail \
     FROM levi_outbox AS o JOIN levi_lanes USING (lane) WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const LIST_PARKED: &str = "SELECT id, p.version, sequence_number, bytes, protection, enqueued_at, \
     message_id, session_id, 0, NULL, p.reason_code, p.reason_detail \
     FROM levi_parked AS p JOIN levi_lanes USING (lane) WHERE id > ?1 ORDER BY id LIMIT ?2";

pub(super) fn payloads(conn: &Connection, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<()> {
    let mut pending = conn.prepare_cached(PAYLOAD)?;
    for key in rows {
        let params = params![key.id.0, key.version];
        if !hand_over(&mut pending, params, *key, sink)? {
            let mut parked = conn.prepare_cached(PARKED_PAYLOAD)?;
            hand_over(&mut parked, params, *key, sink)?;
        }
    }
    Ok(())
}

/// Says whether the row was there. SQLite's own buffer goes to the sink, so that no payload is copied here.
fn hand_over(
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

pub(super) fn at_rest(conn: &Connection, lane: LaneId, limit: usize) -> Result<Vec<(RowKey, NewRow)>> {
    let session_id: Option<String> = conn
        .prepare_cached("SELECT session_id FROM levi_lanes WHERE lane = ?1")?
        .query_row([lane.0], |row| row.get(0))
        .optional()?;
    let Some(session_id) = session_id else { return Ok(Vec::new()) };
    let session_id = levi_types::SessionId::from(session_id);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(AT_REST)?
        .query_map([lane.0, limit], |row| {
            let RowHead { key, sequence_number, enqueued_at, .. } = columns::head(row)?;
            let new_row = NewRow {
                session_id: session_id.clone(),
                sequence_number,
                message_id: row.get_ref(6)?.as_str()?.into(),
                payload: row.get(7)?,
                protection: Protection::AtRest,
                enqueued_at,
            };
            Ok((key, new_row))
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

/// Both kinds are read by id, at most `limit` of each, and merged.
pub(super) fn list(conn: &Connection, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>> {
    let after = after.map_or(i64::MIN, |row| row.0);
    let room = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut listed = Vec::new();
    for (sql, parked) in [(LIST_PENDING, false), (LIST_PARKED, true)] {
        let mut statement = conn.prepare_cached(sql)?;
        for row in statement.query_map([after, room], |row| listed_row(row, parked))? {
            listed.push(row?);
        }
    }
    listed.sort_unstable_by_key(|row| row.id);
    listed.truncate(limit);
    Ok(listed)
}

fn listed_row(row: &Row<'_>, parked: bool) -> Result<ListedRow> {
    let RowHead { key, sequence_number, bytes, protection, enqueued_at } = columns::head(row)?;
    Ok(ListedRow {
        id: key.id,
        version: key.version,
        session_id: row.get_ref(7)?.as_str()?.into(),
        sequence_number,
        message_id: row.get_ref(6)?.as_str()?.into(),
        bytes,
        protection,
        enqueued_at,
        parked,
        attempts: row.get(8)?,
        due_at: columns::optional_wall(row, 9)?,
        reason: columns::reason(row, 10)?,
    })
}
