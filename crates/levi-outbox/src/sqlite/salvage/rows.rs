//! Reading what can be read, row by row, by every way there is to a row.

use std::collections::{BTreeSet, HashMap};

use levi_types::Wall;
use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::super::columns::{protection, reason, unsigned, wall};
use super::super::lanes::Lanes;
use super::super::ledger::Ledger;
use super::super::{change, enqueue};
use crate::model::{Change, Enqueued, LaneId, NewRow, NewTask, Reason};

/// Rows written in one transaction.
const AT_ONCE: usize = 256;

/// Ids tried one by one between the last that a scan found from below and the first from above.
const PROBED: i64 = 1_000_000;

/// What was brought over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) rows: u64,
    pub(super) parked: u64,
    pub(super) tasks: u64,
    pub(super) lost: Option<u64>,
}

/// A row of either table, with the reason and time of a parked one.
struct Found {
    row: NewRow,
    parked: Option<(Reason, Wall)>,
}

/// Brings everything readable from `old` to `new`. Errors are those of `new`.
pub(super) fn pour(old: &Connection, new: &mut Connection) -> Result<Recovered> {
    let sessions = sessions(old);
    let tasks = tasks(old, new)?;
    let (parked, parked_expected) = table(old, new, &PARKED, &sessions)?;
    let (rows, rows_expected) = table(old, new, &PENDING, &sessions)?;
    let lost = match (rows_expected, parked_expected) {
        (None, None) => None,
        (a, b) => Some((a.unwrap_or(rows) + b.unwrap_or(parked)).saturating_sub(rows + parked)),
    };
    Ok(Recovered { rows, parked, tasks, lost })
}

/// One of the two tables with rows.
struct Table {
    /// Ids by the table itself.
    scan: &'static str,
    /// Ids by the index, which survives where a page of the table does not.
    index: &'static str,
    row: &'static str,
    /// How many there are.
    count: &'static str,
    /// How many the count leaves out. Not to be had where the newest rows are damaged, or from an older file, which
    /// leaves out none.
    uncounted: &'static str,
    is_parked: bool,
}

const PENDING: Table = Table {
    scan: "SELECT id FROM levi_outbox NOT INDEXED ORDER BY id",
    index: "SELECT id FROM levi_outbox INDEXED BY levi_outbox_place ORDER BY lane, sequence_number",
    row: "SELECT lane, sequence_number, bytes, protection, enqueued_at, message_id, payload \
          FROM levi_outbox WHERE id = ?1",
    count: "SELECT pending_rows FROM levi_totals",
    uncounted: "SELECT count(*) FROM levi_outbox WHERE id > (SELECT counted_to FROM levi_totals)",
    is_parked: false,
};

const PARKED: Table = Table {
    scan: "SELECT id FROM levi_parked NOT INDEXED ORDER BY id",
    index: "SELECT id FROM levi_parked INDEXED BY levi_parked_place ORDER BY lane, sequence_number",
    row: "SELECT lane, sequence_number, bytes, protection, enqueued_at, message_id, payload, \
          reason_code, reason_detail, parked_at FROM levi_parked WHERE id = ?1",
    count: "SELECT parked_rows FROM levi_totals",
    uncounted: "SELECT 0",
    is_parked: true,
};

/// Says how many rows were brought over, and how many there were, if that can be told.
fn table(
    old: &Connection,
    new: &mut Connection,
    table: &Table,
    sessions: &HashMap<i64, String>,
) -> Result<(u64, Option<u64>)> {
    let (ids, listed) = ids(old, table);
    let mut recovered = 0;
    let ids: Vec<i64> = ids.into_iter().collect();
    for chunk in ids.chunks(AT_ONCE) {
        let found: Vec<Found> = chunk.iter().filter_map(|id| read(old, table, sessions, *id)).collect();
        recovered += store(new, found)?;
    }
    let number = |sql: &str| old.query_row(sql, [], |row| row.get::<_, i64>(0)).ok();
    let counted =
        number(table.count).map(|counted| counted.saturating_add(number(table.uncounted).unwrap_or(0)));
    let expected = counted.map(unsigned).into_iter().chain(listed).max();
    Ok((recovered, expected))
}

/// Every id that any way leads to, and how many the indexed ways know of.
fn ids(old: &Connection, table: &Table) -> (BTreeSet<i64>, Option<u64>) {
    let descending = format!("{} DESC", table.scan);
    // Both terms of the index's order, or SQLite would sort instead of walking it from the other end.
    let from_the_end = format!("{} DESC", table.index.replace("lane,", "lane DESC,"));
    let below = column(old, table.scan);
    let above = column(old, &descending);
    let mut ids: BTreeSet<i64> = below.iter().chain(&above).copied().collect();
    ids.extend(column(old, table.index));
    ids.extend(column(old, &from_the_end));
    let listed = (!ids.is_empty()).then_some(ids.len() as u64);
    let start = below.last().copied().unwrap_or(0);
    let end = above.last().copied().or_else(|| last_id(old)).unwrap_or(start);
    if end.saturating_sub(start) <= PROBED {
        ids.extend(start..=end);
    }
    (ids, listed)
}

/// The highest id ever given, where the tables themselves do not say.
fn last_id(old: &Connection) -> Option<i64> {
    old.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'levi_outbox'", [], |row| row.get(0)).ok()
}

/// The first column of as many rows as can be read.
fn column(old: &Connection, sql: &str) -> Vec<i64> {
    let Ok(mut statement) = old.prepare(sql) else { return Vec::new() };
    let Ok(rows) = statement.query_map([], |row| row.get(0)) else { return Vec::new() };
    rows.map_while(Result::ok).collect()
}

/// Which lane is whose, by the table and by its index.
fn sessions(old: &Connection) -> HashMap<i64, String> {
    const WAYS: [&str; 3] = [
        "SELECT lane, session_id FROM levi_lanes NOT INDEXED ORDER BY lane",
        "SELECT lane, session_id FROM levi_lanes NOT INDEXED ORDER BY lane DESC",
        "SELECT lane, session_id FROM levi_lanes INDEXED BY sqlite_autoindex_levi_lanes_1 ORDER BY session_id",
    ];
    let mut sessions = HashMap::new();
    for way in WAYS {
        let Ok(mut statement) = old.prepare(way) else { continue };
        let Ok(rows) = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))) else { continue };
        sessions.extend(rows.map_while(Result::ok));
    }
    sessions
}

/// One row, if it can be read, is whole, and has a session.
fn read(old: &Connection, table: &Table, sessions: &HashMap<i64, String>, id: i64) -> Option<Found> {
    let mut statement = old.prepare_cached(table.row).ok()?;
    let found = statement.query_row([id], |row| found(row, table, sessions)).optional();
    found.ok().flatten().flatten()
}

fn found(row: &Row<'_>, table: &Table, sessions: &HashMap<i64, String>) -> Result<Option<Found>> {
    let payload: Vec<u8> = row.get(6)?;
    let length: i64 = row.get(2)?;
    let Some(session) = sessions.get(&row.get(0)?) else { return Ok(None) };
    if usize::try_from(length) != Ok(payload.len()) {
        return Ok(None);
    }
    let parked =
        if table.is_parked { Some((reason(row, 7)?.unwrap_or_else(unknown), wall(row, 9)?)) } else { None };
    let row = NewRow {
        session_id: session.as_str().into(),
        sequence_number: row.get(1)?,
        message_id: row.get_ref(5)?.as_str()?.into(),
        payload,
        protection: protection(row, 3)?,
        enqueued_at: wall(row, 4)?,
    };
    Ok(Some(Found { row, parked }))
}

/// For a parked row whose reason is gone.
fn unknown() -> Reason {
    Reason { code: "salvaged".into(), detail: "the reason was lost with a damaged file".into() }
}

/// Says how many of them found their place.
fn store(new: &mut Connection, found: Vec<Found>) -> Result<u64> {
    let transaction = new.transaction()?;
    let mut ledger = Ledger::load(&transaction)?;
    let (rows, reasons): (Vec<NewRow>, Vec<_>) =
        found.into_iter().map(|found| (found.row, found.parked)).unzip();
    let answers = enqueue::store_rows(&transaction, &mut ledger, &mut Lanes::default(), &rows, u64::MAX)?;
    let mut stored = 0;
    for ((answer, row), parked) in answers.into_iter().zip(&rows).zip(reasons) {
        // Another row has its place: the damage made one of them up.
        let Enqueued::Stored { key, replaced: false } = answer else { continue };
        stored += 1;
        if let Some((reason, at)) = parked {
            let lane = transaction.query_row(
                "SELECT lane FROM levi_lanes WHERE session_id = ?1",
                [row.session_id.as_str()],
                |row| row.get(0),
            )?;
            let park = Change::Park { lane: LaneId(lane), row: key, reason, at };
            change::apply(&transaction, &mut ledger, &park)?;
        }
    }
    ledger.store(&transaction)?;
    transaction.commit()?;
    Ok(stored)
}

/// Tasks that can be read. Those that were set aside stay so.
fn tasks(old: &Connection, new: &mut Connection) -> Result<u64> {
    const WAYS: [&str; 2] = ["", " DESC"];
    let mut found: HashMap<String, (NewTask, Option<Reason>)> = HashMap::new();
    for way in WAYS {
        let sql = format!(
            "SELECT name, parent, holds, payload, due_at, reason_code, reason_detail \
             FROM levi_tasks NOT INDEXED ORDER BY rowid{way}"
        );
        let Ok(mut statement) = old.prepare(&sql) else { continue };
        let Ok(rows) = statement.query_map([], task) else { continue };
        found.extend(rows.map_while(Result::ok).map(|(task, parked)| (task.name.clone(), (task, parked))));
    }
    let transaction = new.transaction()?;
    let mut ledger = Ledger::load(&transaction)?;
    for (task, parked) in found.values() {
        change::apply(&transaction, &mut ledger, &Change::PutTask(task.clone()))?;
        if let Some(reason) = parked.clone() {
            let park = Change::ParkTask { name: task.name.clone(), version: 1, reason };
            change::apply(&transaction, &mut ledger, &park)?;
        }
    }
    ledger.store(&transaction)?;
    transaction.commit()?;
    Ok(found.len() as u64)
}

fn task(row: &Row<'_>) -> Result<(NewTask, Option<Reason>)> {
    let due_at: Option<i64> = row.get(4)?;
    let task = NewTask {
        name: row.get(0)?,
        parent: row.get(1)?,
        holds: row.get::<_, Option<String>>(2)?.map(Into::into),
        payload: row.get(3)?,
        at: Wall::from_millis(due_at.unwrap_or(0)),
    };
    let parked = if due_at.is_none() { reason(row, 5)? } else { None };
    Ok((task, parked))
}
