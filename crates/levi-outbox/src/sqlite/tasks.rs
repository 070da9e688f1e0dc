//! Tasks. What waits for what is worked out when a task changes, so that asking what is due reads one index.

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::columns::wall;
use super::ledger::Ledger;
use crate::model::{DueTask, DueTasks, ListedTask, NewTask, Reason};

/// Whether some task holds the session that the argument names, in SQL. Said once: a new lane, a changed task and the
/// check of the file must agree. A task whose parent is parked holds nobody.
macro_rules! is_held {
    ($session:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM levi_tasks task LEFT JOIN levi_tasks parent ON parent.name = task.parent \
             WHERE task.holds = ",
            $session,
            " AND task.due_at IS NOT NULL AND (parent.name IS NULL OR parent.due_at IS NOT NULL))"
        )
    };
}
pub(super) use is_held;

pub(super) const FIND: &str = "SELECT holds FROM levi_tasks WHERE name = ?1";
pub(super) const PUT: &str = "INSERT INTO levi_tasks (name, version, attempts, due_at, waits, parent, holds, payload) \
     VALUES (?1, 1, 0, ?2, EXISTS (SELECT 1 FROM levi_tasks WHERE name = ?3), ?3, ?4, ?5) \
     ON CONFLICT (name) DO UPDATE SET version = version + 1, attempts = 0, due_at = excluded.due_at, \
     waits = excluded.waits, parent = excluded.parent, holds = excluded.holds, payload = excluded.payload, \
     reason_code = NULL, reason_detail = NULL";
pub(super) const MAKE_CHILDREN_WAIT: &str = "UPDATE levi_tasks SET waits = ?2 WHERE parent = ?1";
pub(super) const FINISH: &str = "DELETE FROM levi_tasks WHERE name = ?1 AND version = ?2 RETURNING holds";
pub(super) const DEFER: &str = "UPDATE levi_tasks SET due_at = ?3, attempts = ?4, reason_code = ?5, reason_detail = ?6 \
     WHERE name = ?1 AND version = ?2 RETURNING holds";
pub(super) const PARK: &str = "UPDATE levi_tasks SET due_at = NULL, reason_code = ?3, reason_detail = ?4 \
     WHERE name = ?1 AND version = ?2 RETURNING holds";
pub(super) const IS_PARKED: &str = "SELECT due_at IS NULL FROM levi_tasks WHERE name = ?1 AND parent IS ?2";
pub(super) const UNPARK: &str = "UPDATE levi_tasks SET due_at = ?2, attempts = 0, version = version + 1, \
     reason_code = NULL, reason_detail = NULL WHERE name = ?1 AND due_at IS NULL RETURNING holds";
pub(super) const DISCARD: &str = "DELETE FROM levi_tasks WHERE name = ?1 AND due_at IS NULL RETURNING holds";
pub(super) const LIST: &str = "SELECT name, attempts, due_at, CASE WHEN waits THEN parent END, reason_code, \
     reason_detail FROM levi_tasks ORDER BY name LIMIT ?1";
pub(super) const RETRY: &str = "UPDATE levi_tasks SET due_at = ?1 WHERE due_at > ?1";
pub(super) const REFRESH_HELD: &str =
    concat!("UPDATE levi_lanes SET held = ", is_held!("?1"), " WHERE session_id = ?1");
pub(super) const HELD_BY_CHILDREN: &str =
    "SELECT holds FROM levi_tasks WHERE parent = ?1 AND holds IS NOT NULL";
pub(super) const DUE: &str = "SELECT name, version, attempts, payload FROM levi_tasks \
     WHERE waits = 0 AND due_at <= ?1 ORDER BY due_at, name LIMIT ?2";
pub(super) const DUE_BEYOND: &str = "SELECT name, version, attempts, payload FROM levi_tasks \
     WHERE waits = 0 AND due_at > ?1 ORDER BY due_at, name LIMIT ?2";
pub(super) const NEXT_DUE: &str = "SELECT due_at FROM levi_tasks \
     WHERE waits = 0 AND due_at > ?1 AND due_at <= ?2 ORDER BY due_at LIMIT 1";

pub(super) fn put(conn: &Connection, ledger: &mut Ledger, task: &NewTask) -> Result<()> {
    let old: Option<Option<String>> =
        conn.prepare_cached(FIND)?.query_row([&task.name], |row| row.get(0)).optional()?;
    let holds = task.holds.as_ref().map(levi_types::SessionId::as_str);
    conn.prepare_cached(PUT)?.execute(params![
        task.name,
        task.at.as_millis(),
        task.parent,
        holds,
        task.payload
    ])?;
    if old.is_none() {
        ledger.add_tasks(1);
        conn.prepare_cached(MAKE_CHILDREN_WAIT)?.execute(params![task.name, 1])?;
    }
    refresh_held(conn, old.flatten().as_deref())?;
    refresh_held(conn, holds)?;
    refresh_children(conn, &task.name)
}

pub(super) fn ensure(conn: &Connection, ledger: &mut Ledger, task: &NewTask) -> Result<()> {
    let parked: Option<bool> = conn
        .prepare_cached(IS_PARKED)?
        .query_row(params![task.name, task.parent], |row| row.get(0))
        .optional()?;
    match parked {
        None => put(conn, ledger, task),
        Some(true) => unpark(conn, &task.name, task.at),
        Some(false) => Ok(()),
    }
}

pub(super) fn unpark(conn: &Connection, name: &str, at: Wall) -> Result<()> {
    let back: Option<Option<String>> =
        conn.prepare_cached(UNPARK)?.query_row(params![name, at.as_millis()], |row| row.get(0)).optional()?;
    refresh_held(conn, back.flatten().as_deref())?;
    refresh_children(conn, name)
}

pub(super) fn discard(conn: &Connection, ledger: &mut Ledger, name: &str) -> Result<()> {
    let gone: Option<Option<String>> =
        conn.prepare_cached(DISCARD)?.query_row([name], |row| row.get(0)).optional()?;
    settle(conn, ledger, name, gone)
}

pub(super) fn finish(conn: &Connection, ledger: &mut Ledger, name: &str, version: u32) -> Result<()> {
    let done: Option<Option<String>> =
        conn.prepare_cached(FINISH)?.query_row(params![name, version], |row| row.get(0)).optional()?;
    settle(conn, ledger, name, done)
}

/// After a task was removed: what it held and what waited for it goes on.
fn settle(conn: &Connection, ledger: &mut Ledger, name: &str, gone: Option<Option<String>>) -> Result<()> {
    let Some(holds) = gone else { return Ok(()) };
    ledger.add_tasks(-1);
    conn.prepare_cached(MAKE_CHILDREN_WAIT)?.execute(params![name, 0])?;
    refresh_held(conn, holds.as_deref())?;
    refresh_children(conn, name)
}

pub(super) fn defer(
    conn: &Connection,
    (name, version): (&str, u32),
    due_at: Wall,
    attempts: u32,
    reason: &Reason,
) -> Result<()> {
    let params = params![name, version, due_at.as_millis(), attempts, reason.code, reason.detail];
    // A parked task is back with this, and so holds its session again.
    let deferred: Option<Option<String>> =
        conn.prepare_cached(DEFER)?.query_row(params, |row| row.get(0)).optional()?;
    refresh_held(conn, deferred.flatten().as_deref())?;
    refresh_children(conn, name)
}

pub(super) fn park(conn: &Connection, (name, version): (&str, u32), reason: &Reason) -> Result<()> {
    let parked: Option<Option<String>> = conn
        .prepare_cached(PARK)?
        .query_row(params![name, version, reason.code, reason.detail], |row| row.get(0))
        .optional()?;
    refresh_held(conn, parked.flatten().as_deref())?;
    refresh_children(conn, name)
}

/// A task whose parent is parked holds nobody: its session's messages go out, and what the server says of them is
/// seen.
fn refresh_children(conn: &Connection, parent: &str) -> Result<()> {
    let mut statement = conn.prepare_cached(HELD_BY_CHILDREN)?;
    let sessions: Vec<String> = statement.query_map([parent], |row| row.get(0))?.collect::<Result<_>>()?;
    sessions.iter().try_for_each(|session| refresh_held(conn, Some(session)))
}

pub(super) fn retry_now(conn: &Connection, at: Wall) -> Result<()> {
    conn.prepare_cached(RETRY)?.execute([at.as_millis()])?;
    Ok(())
}

/// Works out anew whether a session's lane is held.
fn refresh_held(conn: &Connection, session_id: Option<&str>) -> Result<()> {
    let Some(session_id) = session_id else { return Ok(()) };
    conn.prepare_cached(REFRESH_HELD)?.execute([session_id])?;
    Ok(())
}

pub(super) fn due(conn: &Connection, now: Wall, horizon: Wall, limit: usize) -> Result<DueTasks> {
    let horizon = horizon.max(now);
    let mut tasks = Vec::new();
    for (sql, bound) in [(DUE, now), (DUE_BEYOND, horizon)] {
        let room = i64::try_from(limit.saturating_sub(tasks.len())).unwrap_or(i64::MAX);
        let mut statement = conn.prepare_cached(sql)?;
        for task in statement.query_map([bound.as_millis(), room], due_task)? {
            tasks.push(task?);
        }
    }
    let next_due = conn
        .prepare_cached(NEXT_DUE)?
        .query_row([now.as_millis(), horizon.as_millis()], |row| wall(row, 0))
        .optional()?;
    Ok(DueTasks { tasks, next_due })
}

pub(super) fn list(conn: &Connection, limit: usize) -> Result<Vec<ListedTask>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(LIST)?
        .query_map([limit], |row| {
            let code: Option<String> = row.get(4)?;
            let detail: Option<String> = row.get(5)?;
            Ok(ListedTask {
                name: row.get(0)?,
                attempts: row.get(1)?,
                due_at: row.get::<_, Option<i64>>(2)?.map(Wall::from_millis),
                waits_for: row.get(3)?,
                reason: code.zip(detail).map(|(code, detail)| Reason { code, detail }),
            })
        })?
        .collect()
}

fn due_task(row: &rusqlite::Row<'_>) -> Result<DueTask> {
    Ok(DueTask { name: row.get(0)?, version: row.get(1)?, attempts: row.get(2)?, payload: row.get(3)? })
}
