//! Storing rows: one look-up for each lane, one insert for each message.

use levi_types::UserId;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, params};

use super::blocking::{self, blocking_parent};
use super::columns::{encryption_code, unsigned};
use super::counters::Counters;
use super::lane_cache::LaneCache;
use super::{overwrites, synced, users};
use crate::model::{Enqueued, NewRow, RowId, RowKey};

pub(super) const INSERT: &str = "INSERT INTO levi_outbox \
     (lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7)";
/// As [`INSERT`] writes it.
const FIRST_VERSION: i64 = 1;
/// A parked row that is replaced keeps its id and its age.
pub(super) const INSERT_AGAIN: &str = "INSERT INTO levi_outbox \
     (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const REMOVE_PARKED: &str = "DELETE FROM levi_parked WHERE id = ?1";
pub(super) const REPLACE: &str =
    "UPDATE levi_outbox SET version = ?2, bytes = ?3, protection = ?4, payload = ?5 WHERE id = ?1";
const IDS_USED_UP: &str = "SELECT seq FROM sqlite_sequence \
     WHERE name IN ('levi_outbox', 'levi_lanes') AND seq = 9223372036854775807";
pub(super) const PENDING_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_outbox \
     WHERE lane = ?1 AND sequence_number = ?2";
pub(super) const PARKED_AT: &str = "SELECT id, version, bytes, enqueued_at, message_id FROM levi_parked \
     WHERE lane = ?1 AND sequence_number = ?2";
pub(super) const FORGET_SESSION: &str = "DELETE FROM levi_sessions_sent WHERE session_id = ?1";
pub(super) const RESTART_LANE: &str = concat!(
    "UPDATE levi_lanes SET attempts = 0, reason_code = NULL, reason_detail = NULL, due_at = ?2, \
     repository_id = ?3, blocked_by = ",
    blocking_parent!("levi_lanes.kind", "levi_lanes.subject", "?3"),
    " WHERE lane = ?1"
);

/// Stores `rows` inside the caller's transaction. The answers are in their order.
pub(super) fn store_rows(
    conn: &Connection,
    counters: &mut Counters,
    lanes: &mut LaneCache,
    rows: &[NewRow],
    max_pending_bytes: u64,
) -> Result<Vec<Enqueued>> {
    let insert = conn.prepare_cached(INSERT)?;
    let mut writer = RowWriter { conn, counters, max_pending_bytes, lanes, insert, named: None };
    let answers: Result<_> = rows.iter().map(|row| writer.store(row)).collect();
    let answers = answers.map_err(|error| used_up(conn).unwrap_or(error))?;
    writer.lanes.flush(conn, writer.counters)?;
    Ok(answers)
}

/// The error for a table that has no id left, which SQLite reports as a full disk. Only damage uses
/// up so many.
fn used_up(conn: &Connection) -> Option<rusqlite::Error> {
    conn.query_row(IDS_USED_UP, [], |row| row.get(0))
        .ok()
        .map(|last| rusqlite::Error::IntegralValueOutOfRange(0, last))
}

struct RowWriter<'a> {
    conn: &'a Connection,
    counters: &'a mut Counters,
    max_pending_bytes: u64,
    lanes: &'a mut LaneCache,
    insert: CachedStatement<'a>,
    /// The user whom the last row with a user named.
    named: Option<(UserId, i64)>,
}

/// The row that has a sequence number already.
struct Holder {
    id: i64,
    version: i64,
    bytes: i64,
    enqueued_at: i64,
    message_id: String,
    parked: bool,
}

impl RowWriter<'_> {
    fn store(&mut self, row: &NewRow) -> Result<Enqueued> {
        let user = self.user_of(row)?;
        let index = self.lanes.find(self.conn, self.counters, &row.lane)?;
        if let Some(other) =
            index.and_then(|index| self.lanes.get_mut(index)).filter(|lane| lane.user != user)
        {
            if other.user != users::NOBODY {
                return Ok(Enqueued::OtherUser { user_id: users::name(self.conn, other.user)? });
            }
            users::take_over(self.conn, other.lane, user)?;
            // Its rows count with another user's from now on, on one side or the other.
            self.counters.touch(users::NOBODY);
            self.counters.touch(user);
            other.user = user;
        }
        let holder = match index.and_then(|index| self.lanes.get(index)) {
            Some(lane) if lane.last >= Some(row.position()) => self.holder(lane.lane, row.position())?,
            _ => None,
        };
        if holder.is_none() && synced::is_synced(self.conn, &mut self.lanes.synced, user, row)? {
            return Ok(Enqueued::AlreadySynced);
        }
        if let Some(refusal) = self.refuse(row, user, holder.as_ref())? {
            return Ok(refusal);
        }
        self.counters.touch(user);
        let index = match index {
            Some(index) => index,
            None => self.lanes.make(self.conn, row, user)?,
        };
        let answer = match &holder {
            Some(holder) if !holder.parked => self.replace(row, holder)?,
            holder => self.join(index, row, holder.as_ref())?,
        };
        if row.kind().is_control() {
            let lane = self.restart_lane(index, row)?;
            // A row that was there, pending or parked, blocks the children already.
            if holder.is_none() {
                blocking::block_children(self.conn, lane, &row.lane)?;
            }
            if let Some(session) = row.restored_session() {
                self.conn.prepare_cached(FORGET_SESSION)?.execute([session.as_str()])?;
                synced::forget(self.conn, user, session)?;
                self.lanes.synced.forget(session);
            }
        }
        Ok(answer)
    }

    fn user_of(&mut self, row: &NewRow) -> Result<i64> {
        let Some(user) = &row.user else { return Ok(self.counters.user()) };
        match &self.named {
            Some((named, number)) if named == user => Ok(*number),
            _ => {
                let number = users::find_or_add(self.conn, user)?;
                self.named = Some((user.clone(), number));
                Ok(number)
            }
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

    fn refuse(&mut self, row: &NewRow, user: i64, holder: Option<&Holder>) -> Result<Option<Enqueued>> {
        if let Some(holder) = holder
            && holder.message_id != row.message_id.as_str()
        {
            return Ok(Some(Enqueued::SequenceConflict { holder: holder.message_id.as_str().into() }));
        }
        let growth = length(row).saturating_sub(holder.map_or(0, |holder| holder.bytes));
        let (all, limit) = (self.counters.stored_bytes(), self.max_pending_bytes);
        let is_bounded = !row.kind().is_control() && growth > 0;
        if !is_bounded || all.saturating_add(unsigned(growth)) <= limit {
            return Ok(None);
        }
        let held_bytes = self.counters.held_bytes(self.conn)?;
        let pending_bytes = all.saturating_sub(held_bytes);
        // A row of somebody who is not signed in counts with those that are held.
        let others = if user == self.counters.user() { held_bytes } else { pending_bytes };
        let is_full = self.counters.would_exceed(limit, others, unsigned(growth));
        Ok(is_full.then_some(Enqueued::Full { pending_bytes, held_bytes, limit }))
    }

    /// Adds a row that is not pending; `parked` is its older payload.
    fn join(&mut self, index: usize, row: &NewRow, parked: Option<&Holder>) -> Result<Enqueued> {
        let lane = self.lanes.get_mut(index).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        lane.add(row);
        let lane = lane.lane;
        match parked {
            None => self.append(lane, row),
            Some(parked) => self.bring_back(lane, row, parked),
        }
    }

    fn append(&mut self, lane: i64, row: &NewRow) -> Result<Enqueued> {
        let id = self.insert.insert(params![
            lane,
            row.position(),
            length(row),
            encryption_code(row.encryption),
            row.enqueued_at.as_millis(),
            row.message_id.as_str(),
            row.payload,
        ])?;
        overwrites::added(self.conn, id, FIRST_VERSION, row.overwrite)?;
        self.counters.append_pending(row.kind(), length(row), row.enqueued_at.as_millis());
        Ok(Enqueued::Stored { key: row_key(id, FIRST_VERSION), replaced: false })
    }

    /// The newer payload of a parked row is pending.
    fn bring_back(&mut self, lane: i64, row: &NewRow, old: &Holder) -> Result<Enqueued> {
        self.conn.prepare_cached(REMOVE_PARKED)?.execute([old.id])?;
        self.counters.remove_parked(row.kind(), old.bytes);
        let version = old.version.saturating_add(1);
        self.conn.prepare_cached(INSERT_AGAIN)?.execute(params![
            old.id,
            lane,
            row.position(),
            version,
            length(row),
            encryption_code(row.encryption),
            old.enqueued_at,
            row.message_id.as_str(),
            row.payload,
        ])?;
        overwrites::replaced(self.conn, old.id, version, row.overwrite)?;
        self.counters.return_pending(row.kind(), length(row));
        Ok(Enqueued::Stored { key: row_key(old.id, version), replaced: true })
    }

    /// The row keeps its id, its sequence number and its `enqueued_at`, so that a message which is
    /// replaced again and again does not look new each time.
    fn replace(&mut self, row: &NewRow, old: &Holder) -> Result<Enqueued> {
        let version = old.version.saturating_add(1);
        self.conn.prepare_cached(REPLACE)?.execute(params![
            old.id,
            version,
            length(row),
            encryption_code(row.encryption),
            row.payload
        ])?;
        overwrites::replaced(self.conn, old.id, version, row.overwrite)?;
        self.counters.resize_pending(old.bytes, length(row));
        Ok(Enqueued::Stored { key: row_key(old.id, version), replaced: true })
    }

    /// A control row was written: its lane, which is returned, starts anew.
    fn restart_lane(&mut self, index: usize, row: &NewRow) -> Result<i64> {
        let lane = self.lanes.get_mut(index).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        lane.filled_at = None;
        if std::mem::take(&mut lane.is_drained) {
            self.counters.add_lane();
        }
        let repository = row.repository().map(levi_types::RepositoryId::as_str);
        let due_at = row.enqueued_at.as_millis();
        self.conn.prepare_cached(RESTART_LANE)?.execute((lane.lane, due_at, repository))?;
        Ok(lane.lane)
    }
}

fn length(row: &NewRow) -> i64 {
    i64::try_from(row.payload.len()).unwrap_or(i64::MAX)
}

fn row_key(id: i64, version: i64) -> RowKey {
    RowKey { id: RowId(id), version: u32::try_from(version).unwrap_or(u32::MAX) }
}
