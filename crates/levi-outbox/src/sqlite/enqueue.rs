//! Storing rows: one probe for each session, one insert for each row.

use std::collections::HashMap;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::columns::{protection_code, unsigned};
use super::ledger::Ledger;
use super::tasks::is_held;
use crate::model::{Enqueued, NewRow, RowId, RowKey};

pub(super) const INSERT: &str = "INSERT INTO levi_outbox \
     (lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7)";
/// As [`INSERT`] writes it.
const FIRST_VERSION: i64 = 1;
/// A row whose older payload was set aside keeps its id and its age.
pub(super) const BRING_BACK: &str = "INSERT INTO levi_outbox \
     (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const REPLACE: &str =
    "UPDATE levi_outbox SET version = ?2, bytes = ?3, protection = ?4, payload = ?5 WHERE id = ?1";
/// A lane, whether it is empty, and its last place.
pub(super) const FIND_LANE: &str = "SELECT lane, due_at IS NULL, (SELECT max(sequence_number) FROM levi_outbox AS o \
     WHERE o.lane = l.lane) FROM levi_lanes AS l WHERE session_id = ?1";
pub(super) const NEW_LANE: &str =
    concat!("INSERT INTO levi_lanes (session_id, attempts, held) VALUES (?1, 0, ", is_held!("?1"), ")");
pub(super) const FILL_LANE: &str = "UPDATE levi_lanes SET due_at = ?2 WHERE lane = ?1";
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
        lanes: Vec::new(),
        by_session: HashMap::new(),
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
    lanes: Vec<OpenLane>,
    /// Where each session's lane is in `lanes`.
    by_session: HashMap<&'a str, usize>,
    insert: CachedStatement<'a>,
}

/// What this transaction knows of a lane it adds to.
struct OpenLane {
    lane: i64,
    was_empty: bool,
    /// The highest place taken, pending or parked. A row beyond it meets nobody, which spares it a look-up.
    tail: Option<i64>,
    /// When the first added row was handed in: an empty lane is due then.
    filled_at: Option<i64>,
}

impl OpenLane {
    /// A row joins it.
    fn take(&mut self, row: &NewRow) {
        self.filled_at.get_or_insert(row.enqueued_at.as_millis());
        self.tail = self.tail.max(Some(row.sequence_number));
    }
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
        let at = self.open_lane(row.session_id.as_str())?;
        let holder = match at.and_then(|at| self.lanes.get(at)) {
            Some(open) if open.tail >= Some(row.sequence_number) => {
                self.holder(open.lane, row.sequence_number)?
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
        if let Some(holder) = holder.as_ref().filter(|holder| !holder.parked) {
            return self.replace(row, holder);
        }
        let at = match at {
            Some(at) => at,
            None => self.new_lane(row.session_id.as_str())?,
        };
        let Some(open) = self.lanes.get_mut(at) else { return Err(rusqlite::Error::QueryReturnedNoRows) };
        open.take(row);
        let lane = open.lane;
        match holder {
            None => self.append(lane, row),
            Some(parked) => self.bring_back(lane, row, &parked),
        }
    }

    /// Where in `lanes` the lane of a session is, if it has one.
    fn open_lane(&mut self, session_id: &'a str) -> Result<Option<usize>> {
        if let Some(at) = self.by_session.get(session_id) {
            return Ok(Some(*at));
        }
        let found = self
            .conn
            .prepare_cached(FIND_LANE)?
            .query_row([session_id], |row| {
                Ok(OpenLane { lane: row.get(0)?, was_empty: row.get(1)?, tail: row.get(2)?, filled_at: None })
            })
            .optional()?;
        let Some(mut open) = found else { return Ok(None) };
        if self.ledger.parked_rows > 0 {
            let parked = self.conn.prepare_cached(PARKED_TAIL)?.query_row([open.lane], |row| row.get(0))?;
            open.tail = open.tail.max(parked);
        }
        Ok(Some(self.keep(session_id, open)))
    }

    fn new_lane(&mut self, session_id: &'a str) -> Result<usize> {
        let lane = self.conn.prepare_cached(NEW_LANE)?.insert([session_id])?;
        Ok(self.keep(session_id, OpenLane { lane, was_empty: true, tail: None, filled_at: None }))
    }

    fn keep(&mut self, session_id: &'a str, open: OpenLane) -> usize {
        let at = self.lanes.len();
        self.lanes.push(open);
        self.by_session.insert(session_id, at);
        at
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

    fn append(&mut self, lane: i64, row: &NewRow) -> Result<Enqueued> {
        let id = self.insert.insert(params![
            lane,
            row.sequence_number,
            length(row),
            protection_code(row.protection),
            row.enqueued_at.as_millis(),
            row.message_id.as_str(),
            row.payload,
        ])?;
        self.ledger.append_pending(id, length(row));
        Ok(stored(id, FIRST_VERSION, false))
    }

    /// The newer payload of a message that was set aside waits in its place.
    fn bring_back(&mut self, lane: i64, row: &NewRow, old: &Holder) -> Result<Enqueued> {
        self.conn.prepare_cached("DELETE FROM levi_parked WHERE id = ?1")?.execute([old.id])?;
        self.ledger.remove_parked(old.bytes);
        let version = old.version + 1;
        self.conn.prepare_cached(BRING_BACK)?.execute(params![
            old.id,
            lane,
            row.sequence_number,
            version,
            length(row),
            protection_code(row.protection),
            old.enqueued_at,
            row.message_id.as_str(),
            row.payload,
        ])?;
        self.ledger.return_pending(old.id, length(row));
        Ok(stored(old.id, version, true))
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

    /// A lane that was empty is due when its first row came; one that waits waits on, and is not written.
    fn settle(self) -> Result<()> {
        let mut fill = self.conn.prepare_cached(FILL_LANE)?;
        for open in self.lanes.iter().filter(|open| open.was_empty) {
            let Some(due_at) = open.filled_at else { continue };
            fill.execute([open.lane, due_at])?;
            self.ledger.add_lanes(1);
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
