//! Which lane waits for which. `blocked_by` is written in the transaction that changes it, so that
//! the query for what is due reads one index.

use rusqlite::{Connection, Result};

use crate::model::{LaneKey, RowKind};

/// The parent of a lane as SQL, if the parent has rows: the value of `blocked_by`. The arguments
/// are the SQL of the lane's kind, subject and repository. The numbers are those of
/// [`kind_code`](super::columns::kind_code).
macro_rules! blocking_parent {
    ($kind:literal, $subject:literal, $repository:literal) => {
        concat!(
            "(SELECT parent.lane FROM levi_lanes AS parent WHERE parent.kind = CASE ",
            $kind,
            " WHEN 1 THEN 0 WHEN 2 THEN 1 WHEN 3 THEN 1 END AND parent.subject = CASE ",
            $kind,
            " WHEN 1 THEN ",
            $repository,
            " ELSE ",
            $subject,
            " END AND (parent.due_at IS NOT NULL OR EXISTS \
             (SELECT 1 FROM levi_parked WHERE levi_parked.lane = parent.lane)))"
        )
    };
}
pub(super) use blocking_parent;

pub(super) const BLOCK_SESSION: &str =
    "UPDATE levi_lanes SET blocked_by = ?1 WHERE kind IN (2, 3) AND subject = ?2";
pub(super) const BLOCK_REPOSITORY: &str = "UPDATE levi_lanes SET blocked_by = ?1 WHERE repository_id = ?2";
pub(super) const UNBLOCK: &str = "UPDATE levi_lanes SET blocked_by = NULL WHERE blocked_by = ?1";
const REFRESH_ALL: &str = concat!(
    "UPDATE levi_lanes SET blocked_by = ",
    blocking_parent!("levi_lanes.kind", "levi_lanes.subject", "levi_lanes.repository_id")
);
pub(super) const BLOCKS_ROWS: &str = "SELECT EXISTS (SELECT 1 FROM levi_lanes AS child WHERE blocked_by = ?1 \
     AND (due_at IS NOT NULL OR EXISTS (SELECT 1 FROM levi_parked WHERE levi_parked.lane = child.lane)))";
pub(super) const WAITING_ROWS: &str = "WITH RECURSIVE below (lane) AS (SELECT lane FROM levi_lanes WHERE blocked_by = ?1 \
     UNION SELECT child.lane FROM below CROSS JOIN levi_lanes AS child ON child.blocked_by = below.lane) \
     SELECT coalesce(sum((SELECT count(*) FROM levi_outbox AS o WHERE o.lane = below.lane) \
     + (SELECT count(*) FROM levi_parked AS p WHERE p.lane = below.lane)), 0) FROM below";

/// Blocks the children of a lane that was empty and has a row now.
pub(super) fn block_children(conn: &Connection, lane: i64, key: &LaneKey) -> Result<()> {
    let sql = match key.kind() {
        RowKind::Repository => BLOCK_REPOSITORY,
        RowKind::Session => BLOCK_SESSION,
        RowKind::Secret | RowKind::Message => return Ok(()),
    };
    conn.prepare_cached(sql)?.execute((lane, key.subject())).map(drop)
}

/// Unblocks the children of a lane that has become empty.
pub(super) fn unblock_children(conn: &Connection, lane: i64, kind: RowKind) -> Result<()> {
    if kind.can_block() { conn.prepare_cached(UNBLOCK)?.execute([lane]).map(drop) } else { Ok(()) }
}

/// Whether other lanes have rows that wait for this one.
pub(super) fn blocks_rows(conn: &Connection, lane: i64) -> Result<bool> {
    conn.prepare_cached(BLOCKS_ROWS)?.query_row([lane], |row| row.get(0))
}

/// How many rows wait for this lane, pending and parked, those of its children's children included.
pub(super) fn waiting_rows(conn: &Connection, lane: i64) -> Result<i64> {
    conn.prepare_cached(WAITING_ROWS)?.query_row([lane], |row| row.get(0))
}

/// Writes every lane's `blocked_by`.
pub(super) fn refresh_all(conn: &Connection) -> Result<()> {
    conn.execute(REFRESH_ALL, []).map(drop)
}
