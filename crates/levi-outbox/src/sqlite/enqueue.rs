//! Storing rows: one probe for each session, one insert for each row.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::columns::{protection_code, unsigned};
use super::lanes::Lanes;
use super::ledger::Ledger;
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
pub(super) const PENDING_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_outbox \
     WHERE lane = ?1 AND sequence_number = ?2";
pub(super) const PARKED_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_parked \
     WHERE lane = ?1 AND sequence_number = ?2";

/// Stores `rows` inside the caller's transaction. The answers are in their order.
pub(super) fn store_rows(
    conn: &Connection,
    ledger: &mut Ledger,
    lanes: &mut Lanes,
    rows: &[NewRow],
    max_pending_bytes: u64,
) -> Result<Vec<Enqueued>> {
    let insert = conn.prepare_cached(INSERT)?;
    let mut intake = Intake { conn, ledger, max_pending_bytes, lanes, insert };
    let answers = rows.iter().map(|row| intake.store(row)).collect::<Result<_>>()?;
    intake.lanes.settle(conn, intake.ledger)?;
    Ok(answers)
}

struct Intake<'a> {
    conn: &'a Connection,
    ledger: &'a mut Ledger,
    max_pending_bytes: u64,
    lanes: &'a mut Lanes,
    insert: CachedStatement<'a>,
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

impl Intake<'_> {
    fn store(&mut self, row: &NewRow) -> Result<Enqueued> {
        let at = self.lanes.find(self.conn, self.ledger, &row.session_id)?;
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
            None => self.lanes.make(self.conn, &row.session_id)?,
        };
        let Some(open) = self.lanes.get_mut(at) else { return Err(rusqlite::Error::QueryReturnedNoRows) };
        open.take(row);
        let lane = open.lane;
        match holder {
            None => self.append(lane, row),
            Some(parked) => self.bring_back(lane, row, &parked),
        }
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
        self.ledger.append_pending(id, length(row), row.enqueued_at.as_millis());
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
}

fn length(row: &NewRow) -> i64 {
    i64::try_from(row.payload.len()).unwrap_or(i64::MAX)
}

fn stored(id: i64, version: i64, replaced: bool) -> Enqueued {
    let version = u32::try_from(version).unwrap_or(u32::MAX);
    Enqueued::Stored { key: RowKey { id: RowId(id), version }, replaced }
}
