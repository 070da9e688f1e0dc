//! Payloads, rows to reseal, and the state of single rows.

use levi_types::SessionId;
use rusqlite::{Connection, OptionalExtension, Result, Statement, ToSql, params};

use super::columns::{self, head_columns};
use super::list;
use crate::model::{
    Encryption, LaneId, LaneKey, NewRow, ParkedParent, Reason, RowId, RowKey, RowKind, RowState, TextDigests,
};
use crate::store::PayloadSink;

pub(super) const PAYLOAD: &str = "SELECT message_id, payload FROM levi_outbox WHERE id = ?1 AND version = ?2";
pub(super) const PARKED_PAYLOAD: &str =
    "SELECT message_id, payload FROM levi_parked WHERE id = ?1 AND version = ?2";
const PENDING: &str =
    "SELECT version, blocked_by FROM levi_outbox JOIN levi_lanes USING (lane) WHERE id = ?1";
const DISCARDED: &str = "SELECT 1 FROM levi_discarded WHERE id = ?1";
const SESSION_SENT: &str = "SELECT 1 FROM levi_sessions_sent WHERE session_id = ?1";
/// The numbers are those of [`kind_code`](columns::kind_code): repositories and sessions.
pub(super) const PARKED_PARENTS: &str = "SELECT kind, subject, p.reason_code, p.reason_detail \
     FROM levi_lanes AS l JOIN levi_parked AS p USING (lane) WHERE kind IN (0, 1) LIMIT ?1";
pub(super) const PARKED_REASON: &str = "SELECT reason_code, reason_detail FROM levi_parked \
     WHERE lane = (SELECT lane FROM levi_lanes WHERE kind = ?1 AND subject = ?2) LIMIT 1";
pub(super) const LAST_NUMBERS: &str = "SELECT \
     (SELECT max(sequence_number) FROM levi_outbox AS o WHERE o.lane = l.lane), \
     (SELECT max(sequence_number) FROM levi_parked AS p WHERE p.lane = l.lane) \
     FROM levi_lanes AS l WHERE kind = ?1 AND subject = ?2";
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
                message_id: row.get_ref(7)?.as_str()?.into(),
                payload: row.get(8)?,
                encryption: Encryption::DatabaseKey,
                enqueued_at: head.enqueued_at,
                overwrite: head.overwrite,
                restores_session: false,
                texts: TextDigests::default(),
            };
            Ok((head.key, new_row))
        })?
        .collect()
}

pub(super) fn row_state(conn: &Connection, row: RowId) -> Result<RowState> {
    let pending: Option<(u32, Option<i64>)> =
        conn.prepare_cached(PENDING)?.query_row([row.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((version, blocked_by)) = pending {
        let blocker = blocked_by.map(|lane| list::blocker(conn, lane)).transpose()?.flatten();
        let reason = blocker.filter(|blocker| blocker.is_parked).and_then(|blocker| blocker.reason);
        return Ok(reason.map_or(RowState::Pending(version), RowState::ParentParked));
    }
    let reason = conn
        .prepare_cached("SELECT reason_code, reason_detail FROM levi_parked WHERE id = ?1")?
        .query_row([row.0], |row| columns::reason(row, 0))
        .optional()?
        .flatten();
    if let Some(reason) = reason {
        return Ok(RowState::Parked(reason));
    }
    let discarded = conn.prepare_cached(DISCARDED)?.exists([row.0])?;
    Ok(if discarded { RowState::Discarded } else { RowState::Gone })
}

pub(super) fn session_was_sent(conn: &Connection, session: &SessionId) -> Result<bool> {
    conn.prepare_cached(SESSION_SENT)?.exists([session.as_str()])
}

pub(super) fn parked_parents(conn: &Connection, limit: usize) -> Result<Vec<ParkedParent>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(PARKED_PARENTS)?
        .query_map([limit], |row| {
            let reason = Reason { code: row.get(2)?, detail: row.get(3)? };
            Ok(ParkedParent { lane: columns::lane_key(row, 0)?, reason })
        })?
        .collect()
}

pub(super) fn parked_reason(conn: &Connection, lane: &LaneKey) -> Result<Option<Reason>> {
    let reason = |row: &rusqlite::Row<'_>| Ok(Reason { code: row.get(0)?, detail: row.get(1)? });
    let key = (columns::kind_code(lane.kind()), lane.subject());
    conn.prepare_cached(PARKED_REASON)?.query_row(key, reason).optional()
}

pub(super) fn writer(conn: &Connection) -> Result<Option<[u8; 16]>> {
    conn.prepare_cached("SELECT writer FROM levi_writer WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

pub(super) fn last_sequence_number(conn: &Connection, session: &SessionId) -> Result<Option<i64>> {
    let key = (columns::kind_code(RowKind::Message), session.as_str());
    let numbers: Option<(Option<i64>, Option<i64>)> =
        conn.prepare_cached(LAST_NUMBERS)?.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(numbers.and_then(|(pending, parked)| pending.max(parked)))
}
