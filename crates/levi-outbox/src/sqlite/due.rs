//! What is due: range queries over one partial index.

use levi_types::Wall;
use rusqlite::{Connection, Result};

use super::columns::{self, head_columns};
use super::users;
use crate::model::{Due, DueLane, LaneId, RowHead};
use crate::store::DueQuery;

/// `ORDER BY due_at, lane` is the index's own order: with any other one SQLite would sort every due
/// lane.
pub(super) const DUE: &str = "SELECT lane, kind, subject, attempts, due_at FROM levi_lanes \
     WHERE user = ?1 AND blocked_by IS NULL AND due_at <= ?2 ORDER BY due_at, lane";
/// Lanes due so far ahead that the clock must have jumped back since the time was written.
pub(super) const DUE_BEYOND: &str = "SELECT lane, kind, subject, attempts, due_at FROM levi_lanes \
     WHERE user = ?1 AND blocked_by IS NULL AND due_at > ?2 ORDER BY due_at, lane";
pub(super) const NEXT_DUE: &str = "SELECT due_at, lane FROM levi_lanes \
     WHERE user = ?1 AND blocked_by IS NULL AND due_at > ?2 AND due_at <= ?3 ORDER BY due_at, lane";
/// One look at the lane, whatever the number of its rows: a blocked lane shows none.
macro_rules! not_blocked {
    () => {
        "(SELECT blocked_by IS NULL FROM levi_lanes WHERE lane = ?1)"
    };
}

/// The first rows of a lane that is due, and so not blocked.
pub(super) const DUE_HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM levi_outbox WHERE lane = ?1 ORDER BY sequence_number LIMIT ?2"
);
pub(super) const HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM levi_outbox WHERE lane = ?1 AND sequence_number > ?2 AND ",
    not_blocked!(),
    " ORDER BY sequence_number LIMIT ?3"
);
pub(super) const FIRST_HEADS: &str = concat!(
    "SELECT ",
    head_columns!(),
    " FROM levi_outbox WHERE lane = ?1 AND ",
    not_blocked!(),
    " ORDER BY sequence_number LIMIT ?2"
);

pub(super) fn due(conn: &Connection, query: DueQuery<'_>) -> Result<Due> {
    let user = match query.user {
        Some(user) => users::find(conn, user)?,
        None => Some(users::NOBODY),
    };
    let Some(user) = user else { return Ok(Due::default()) };
    let horizon = query.horizon.max(query.now);
    let mut due = Due { next_due: next_due(conn, user, &query, horizon)?, ..Due::default() };
    let mut first_rows = conn.prepare_cached(DUE_HEADS)?;
    let mut heads_collected = 0;
    for (sql, bound) in [(DUE, query.now), (DUE_BEYOND, horizon)] {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([user, bound.as_millis()])?;
        while let Some(row) = rows.next()? {
            let lane = LaneId(row.get(0)?);
            if query.except.contains(&lane) {
                continue;
            }
            if due.lanes.len() >= query.max_lanes || heads_collected >= query.max_heads {
                due.more = true;
                return Ok(due);
            }
            // One more than is wanted, to know whether there is one.
            let limit = i64::try_from(query.heads_per_lane.saturating_add(1)).unwrap_or(i64::MAX);
            let mut heads: Vec<_> =
                first_rows.query_map([lane.0, limit], columns::head)?.collect::<Result<_>>()?;
            let more = heads.len() > query.heads_per_lane;
            heads.truncate(query.heads_per_lane);
            heads_collected += heads.len();
            let key = columns::lane_key(row, 1)?;
            due.lanes.push(DueLane { lane, key, attempts: row.get(3)?, more, heads });
        }
    }
    Ok(due)
}

fn next_due(conn: &Connection, user: i64, query: &DueQuery<'_>, horizon: Wall) -> Result<Option<Wall>> {
    let mut statement = conn.prepare_cached(NEXT_DUE)?;
    let mut rows = statement.query([user, query.now.as_millis(), horizon.as_millis()])?;
    while let Some(row) = rows.next()? {
        if !query.except.contains(&LaneId(row.get(1)?)) {
            return columns::wall(row, 0).map(Some);
        }
    }
    Ok(None)
}

pub(super) fn heads(
    conn: &Connection,
    lane: LaneId,
    after: Option<i64>,
    limit: usize,
) -> Result<Vec<RowHead>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match after {
        Some(after) => {
            conn.prepare_cached(HEADS)?.query_map([lane.0, after, limit], columns::head)?.collect()
        }
        None => conn.prepare_cached(FIRST_HEADS)?.query_map([lane.0, limit], columns::head)?.collect(),
    }
}
