//! Storing rows: one probe and one update for each session, one insert for each row.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::columns::{protection_code, unsigned};
use super::ledger::Ledger;
use super::tasks::is_held;
use crate::model::{Enqueued, NewRow, RowId, RowKey};

pub(super) const INSERT: &str = "INSERT INTO levi_outbox \
     (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const REPLACE: &str =
    "UPDATE levi_outbox SET version = ?2, bytes = ?3, protection = ?4, payload = ?5 WHERE id = ?1";
pub(super) const FIND_LANE: &str = "SELECT lane, row_count FROM levi_lanes WHERE session_id = ?1";
pub(super) const NEW_LANE: &str = concat!(
    "INSERT INTO levi_lanes (session_id, row_count, attempts, held) VALUES (?1, 0, 0, ",
    is_held!("?1"),
    ")"
);
pub(super) const GROW_LANE: &str =
    "UPDATE levi_lanes SET row_count = row_count + ?2, due_at = coalesce(due_at, ?3) WHERE lane = ?1";
pub(super) const TAIL: &str = "SELECT max(sequence_number) FROM levi_outbox WHERE lane = ?1";
pub(super) const PARKED_TAIL: &str = "SELECT max(sequence_number) FROM levi_parked WHERE lane = ?1";
pub(super) const PENDING_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_outbox \
     WHERE lane = ?1 AND sequence_number = ?2";
pub(super) const PARKED_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_parked \
     WHERE lane = ?1 AND sequence_number = ?2";

/// Stores `rows` inside the caller's transaction. The answers are in their order.
pub(super) fn store_rows(
    conn: &Connection,
    ledger: &mut Ledger,
    rows: &[NewRow],
    max_pending_bytes: u64,
) -> Result<Vec<Enqueued>> {
    let mut intake = Intake {
        conn,
        ledger,
        max_pending_bytes,
        lanes: HashMap::new(),
        insert: conn.prepare_cached(INSERT)?,
    };
    let answers = rows.iter().map(|row| intake.store(row)).collect::<Result<_>>()?;
    intake.settle()?;
    Ok(answers)
}

struct Intake<'a> {
    conn: &'a Connection,
    ledger: &'a mut Ledger,
    max_pending_bytes: u64,
    lanes: HashMap<&'a str, OpenLane>,
    insert: CachedStatement<'a>,
}

/// What this transaction knows of a lane it adds to.
struct OpenLane {
    lane: i64,
    was_empty: bool,
    /// The highest place taken, pending or parked. A row beyond it meets nobody, which spares it a look-up.
    tail: Option<i64>,
    added: i64,
    /// When the first added row was handed in: an empty lane is due then.
    due_at: i64,
}

/// Who holds a place already.
struct Holder {
    id: i64,
    version: i64,
    bytes: i64,
    enqueued_at: i64,
    message_id: String,
    parked: bool,
}

impl<'a> Intake<'a> {
    fn store(&mut self, row: &'a NewRow) -> Result<Enqueued> {
        let lane = self.find_lane(row.session_id.as_str())?;
        let holder = match lane {
            Some((lane, tail)) if tail >= Some(row.sequence_number) => {
                self.holder(lane, row.sequence_number)?
            }
            _ => None,
        };
        if let Some(holder) = &holder
            && holder.message_id != row.message_id.as_str()
        {
            return Ok(Enqueued::PlaceTaken { holder: holder.message_id.as_str().into() });
        }
        let growth = length(row).saturating_sub(holder.as_ref().map_or(0, |holder| holder.bytes));
        if growth > 0 && unsigned(self.ledger.held_bytes().saturating_add(growth)) > self.max_pending_bytes {
            return Ok(Enqueued::Full {
                pending_bytes: unsigned(self.ledger.held_bytes()),
                limit: self.max_pending_bytes,
            });
        }
        let lane = match lane {
            Some((lane, _)) => lane,
            None => self.new_lane(row.session_id.as_str())?,
        };
        match holder {
            None => self.append(lane, row, None),
            Some(holder) if holder.parked => self.bring_back(lane, row, &holder),
            Some(holder) => self.replace(row, &holder),
        }
    }

    /// The lane of a session and its tail, if it has one.
    fn find_lane(&mut self, session_id: &'a str) -> Result<Option<(i64, Option<i64>)>> {
        if let Some(open) = self.lanes.get(session_id) {
            return Ok(Some((open.lane, open.tail)));
        }
        let found = self
            .conn
            .prepare_cached(FIND_LANE)?
            .query_row([session_id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((lane, row_count)): Option<(i64, i64)> = found else { return Ok(None) };
        let mut tail: Option<i64> = self.conn.prepare_cached(TAIL)?.query_row([lane], |row| row.get(0))?;
        if self.ledger.parked_rows > 0 {
            let parked = self.conn.prepare_cached(PARKED_TAIL)?.query_row([lane], |row| row.get(0))?;
            tail = tail.max(parked);
        }
        self.open(session_id, OpenLane { lane, was_empty: row_count == 0, tail, added: 0, due_at: 0 });
        Ok(Some((lane, tail)))
    }

    fn new_lane(&mut self, session_id: &'a str) -> Result<i64> {
        let lane = self.conn.prepare_cached(NEW_LANE)?.insert([session_id])?;
        self.open(session_id, OpenLane { lane, was_empty: true, tail: None, added: 0, due_at: 0 });
        Ok(lane)
    }

    fn open(&mut self, session_id: &'a str, lane: OpenLane) {
        self.lanes.insert(session_id, lane);
    }

    fn holder(&self, lane: i64, sequence_number: i64) -> Result<Option<Holder>> {
        for (sql, parked) in [(PENDING_AT, false), (PARKED_AT, true)] {
            let found = self
                .conn
                .prepare_cached(sql)?
                .query_row([lane, sequence_number], |row| {
                    Ok(Holder {
                        id: row.get(0)?,
                        version: row.get(1)?,
                        bytes: row.get(2)?,
                        enqueued_at: row.get(3)?,
                        message_id: row.get(4)?,
                        parked,
                    })
                })
                .optional()?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Adds a row to its lane: a new one, or one that gives up its parked place (`old`).
    fn append(&mut self, lane: i64, row: &'a NewRow, old: Option<&Holder>) -> Result<Enqueued> {
        let version = old.map_or(1, |old| old.version + 1);
        let enqueued_at = old.map_or(row.enqueued_at.as_millis(), |old| old.enqueued_at);
        let id = self.insert.insert(params![
            old.map(|old| old.id),
            lane,
            row.sequence_number,
            version,
            length(row),
            protection_code(row.protection),
            enqueued_at,
            row.message_id.as_str(),
            row.payload,
        ])?;
        self.ledger.add_pending(length(row));
        if let Some(open) = self.lanes.get_mut(row.session_id.as_str()) {
            if open.added == 0 {
                open.due_at = row.enqueued_at.as_millis();
            }
            open.added += 1;
            open.tail = open.tail.max(Some(row.sequence_number));
        }
        Ok(stored(id, version, old.is_some()))
    }

    fn bring_back(&mut self, lane: i64, row: &'a NewRow, old: &Holder) -> Result<Enqueued> {
        self.conn.prepare_cached("DELETE FROM levi_parked WHERE id = ?1")?.execute([old.id])?;
        self.ledger.remove_parked(old.bytes);
        self.append(lane, row, Some(old))
    }

    /// The row keeps its id, its place and the time it was first handed in, so that a message which is replaced
    /// again and again does not look young for ever.
    fn replace(&mut self, row: &NewRow, old: &Holder) -> Result<Enqueued> {
        let version = old.version + 1;
        self.conn.prepare_cached(REPLACE)?.execute(params![
            old.id,
            version,
            length(row),
            protection_code(row.protection),
            row.payload
        ])?;
        self.ledger.resize_pending(old.bytes, length(row));
        Ok(stored(old.id, version, true))
    }

    /// Tells each lane what was added to it. An empty one is due when its first row came; a waiting one waits on.
    fn settle(self) -> Result<()> {
        let mut grow = self.conn.prepare_cached(GROW_LANE)?;
        for open in self.lanes.values().filter(|open| open.added > 0) {
            grow.execute([open.lane, open.added, open.due_at])?;
            self.ledger.add_lanes(i64::from(open.was_empty));
        }
        Ok(())
    }
}

fn length(row: &NewRow) -> i64 {
    i64::try_from(row.payload.len()).unwrap_or(i64::MAX)
}

fn stored(id: i64, version: i64, replaced: bool) -> Enqueued {
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    Enqueued::Stored { key: RowKey { id: RowId(id), version }, replaced }
}
