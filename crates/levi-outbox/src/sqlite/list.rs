//! Listing rows with the reason why each one waits.

use std::collections::HashMap;

use levi_types::UserId;
use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::counters::Counters;
use super::overwrites::overwrite_mode;
use super::{columns, users};
use crate::model::{LaneKey, ListedRow, Reason, RowId, WaitingLane};

pub(super) const LIST_PENDING: &str = concat!(
    "SELECT id, o.version, sequence_number, bytes, protection, enqueued_at, ",
    overwrite_mode!("o.id"),
    ", message_id, kind, subject, blocked_by, attempts, due_at, reason_code, reason_detail, 0, user \
     FROM levi_outbox AS o JOIN levi_lanes USING (lane) WHERE id > ?1 ORDER BY id LIMIT ?2"
);
pub(super) const LIST_PARKED: &str = concat!(
    "SELECT id, p.version, sequence_number, bytes, protection, enqueued_at, ",
    overwrite_mode!("p.id"),
    ", message_id, kind, subject, blocked_by, 0, NULL, p.reason_code, p.reason_detail, 1, user \
     FROM levi_parked AS p JOIN levi_lanes USING (lane) WHERE id > ?1 ORDER BY id LIMIT ?2"
);
pub(super) const BLOCKER: &str = "SELECT kind, subject, blocked_by, l.reason_code, l.reason_detail, \
     p.reason_code, p.reason_detail FROM levi_lanes AS l LEFT JOIN levi_parked AS p ON p.lane = l.lane \
     WHERE l.lane = ?1 LIMIT 1";

/// A message waits for a session, which waits for a repository. Only a damaged file has more
/// ancestors.
const MAX_ANCESTORS: usize = 2;

/// Pending and parked rows are read by id, at most `limit` of each, and merged.
pub(super) fn list(conn: &Connection, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>> {
    let after = after.map_or(i64::MIN, |row| row.0);
    let room = i64::try_from(limit).unwrap_or(i64::MAX);
    let signed_in = Counters::load(conn)?.user();
    let mut lister = Lister { conn, signed_in, blockers: HashMap::new(), users: HashMap::new() };
    let mut listed = Vec::new();
    for sql in [LIST_PENDING, LIST_PARKED] {
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([after, room])?;
        while let Some(row) = rows.next()? {
            listed.push(lister.listed_row(row)?);
        }
    }
    listed.sort_unstable_by_key(|row| row.id);
    listed.truncate(limit);
    Ok(listed)
}

struct Lister<'a> {
    conn: &'a Connection,
    /// Who signed in last.
    signed_in: i64,
    /// The users as far as they were looked up.
    users: HashMap<i64, Option<UserId>>,
    /// The lanes that block others, as far as they were looked up.
    blockers: HashMap<i64, Option<Blocker>>,
}

/// A lane that others wait for, and the reason that their rows are listed with.
#[derive(Clone)]
pub(super) struct Blocker {
    key: LaneKey,
    /// Whether it, or an ancestor of it, is parked.
    pub(super) is_parked: bool,
    pub(super) reason: Option<Reason>,
}

/// Lanes with pending rows, by the age of the lane. One pass through at most so many, whatever the
/// number of rows.
pub(super) const WAITING: &str = "SELECT kind, subject, blocked_by, attempts, due_at, reason_code, reason_detail, user \
     FROM levi_lanes WHERE due_at IS NOT NULL ORDER BY lane LIMIT ?1";

pub(super) fn waiting(conn: &Connection, limit: usize) -> Result<Vec<WaitingLane>> {
    let signed_in = Counters::load(conn)?.user();
    let mut lister = Lister { conn, signed_in, blockers: HashMap::new(), users: HashMap::new() };
    let mut statement = conn.prepare_cached(WAITING)?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push(lister.waiting_lane(row)?);
    }
    Ok(waiting)
}

/// All lanes, with what the readers decode of each.
const LANES: &str = "SELECT kind, subject, reason_code, reason_detail, attempts, due_at, repository_id FROM levi_lanes NOT INDEXED";

/// Reads every row and lane as the readers do, and keeps none.
pub(super) fn decode_all(conn: &Connection) -> Result<()> {
    let mut lanes = conn.prepare(LANES)?;
    let mut rows = lanes.query([])?;
    while let Some(row) = rows.next()? {
        columns::lane_key(row, 0)?;
        columns::reason(row, 2)?;
        let _: u32 = row.get(4)?;
        columns::optional_wall(row, 5)?;
        let _: Option<String> = row.get(6)?;
    }
    let mut lister =
        Lister { conn, signed_in: users::NOBODY, blockers: HashMap::new(), users: HashMap::new() };
    for sql in [LIST_PENDING, LIST_PARKED] {
        let mut statement = conn.prepare(sql)?;
        let mut rows = statement.query([i64::MIN, i64::MAX])?;
        while let Some(row) = rows.next()? {
            lister.listed_row(row)?;
        }
    }
    Ok(())
}

impl Lister<'_> {
    fn waiting_lane(&mut self, row: &Row<'_>) -> Result<WaitingLane> {
        let blocker = row.get::<_, Option<i64>>(2)?.map(|lane| self.blocker(lane)).transpose()?.flatten();
        let (due_at, own_reason) = (columns::optional_wall(row, 4)?, columns::reason(row, 5)?);
        let (blocked_by, due_at, reason) = match blocker {
            Some(Blocker { key, reason, .. }) => (Some(key), None, reason),
            None => (None, due_at, own_reason),
        };
        let user = row.get(7)?;
        Ok(WaitingLane {
            key: columns::lane_key(row, 0)?,
            user_id: self.user(user)?,
            held: user != self.signed_in,
            attempts: row.get(3)?,
            due_at,
            blocked_by,
            reason,
        })
    }

    fn listed_row(&mut self, row: &Row<'_>) -> Result<ListedRow> {
        let head = columns::head(row)?;
        let lane = columns::lane_key(row, 8)?;
        let (own_reason, parked) = (columns::reason(row, 13)?, row.get::<_, bool>(15)?);
        let blocker = match row.get(10)? {
            Some(blocker) => self.blocker(blocker)?,
            None => None,
        };
        let parent_is_parked = !parked && blocker.as_ref().is_some_and(|blocker| blocker.is_parked);
        let user = row.get(16)?;
        let held = user != self.signed_in;
        let (blocked_by, due_at, reason) = match blocker {
            Some(Blocker { key, reason, .. }) => (Some(key), None, if parked { own_reason } else { reason }),
            None => (None, columns::optional_wall(row, 12)?, own_reason),
        };
        Ok(ListedRow {
            id: head.key.id,
            version: head.key.version,
            kind: lane.kind(),
            lane,
            user_id: self.user(user)?,
            held,
            sequence_number: head.sequence_number,
            message_id: row.get_ref(7)?.as_str()?.into(),
            bytes: head.bytes,
            encryption: head.encryption,
            enqueued_at: head.enqueued_at,
            parked,
            attempts: row.get(11)?,
            due_at: due_at.filter(|_| !held),
            blocked_by,
            parent_is_parked,
            reason,
        })
    }

    fn user(&mut self, user: i64) -> Result<Option<UserId>> {
        if let Some(known) = self.users.get(&user) {
            return Ok(known.clone());
        }
        let name = users::name(self.conn, user)?;
        self.users.insert(user, name.clone());
        Ok(name)
    }

    fn blocker(&mut self, lane: i64) -> Result<Option<Blocker>> {
        if let Some(known) = self.blockers.get(&lane) {
            return Ok(known.clone());
        }
        let blocker = blocker(self.conn, lane)?;
        self.blockers.insert(lane, blocker.clone());
        Ok(blocker)
    }
}

/// An ancestor as [`BLOCKER`] reads it.
struct Ancestor {
    key: LaneKey,
    blocked_by: Option<i64>,
    waits: Option<Reason>,
    parked: Option<Reason>,
}

/// Looks for the reason from ancestor to ancestor: a parked one has its own, and one that is
/// blocked itself waits for the reason of the next.
pub(super) fn blocker(conn: &Connection, lane: i64) -> Result<Option<Blocker>> {
    let Some(first) = ancestor(conn, lane)? else { return Ok(None) };
    let (key, mut at) = (first.key.clone(), first);
    for _ in 0..MAX_ANCESTORS {
        let Some(next) = at.blocked_by.filter(|_| at.parked.is_none()) else { break };
        let Some(next) = ancestor(conn, next)? else { break };
        at = next;
    }
    Ok(Some(Blocker { key, is_parked: at.parked.is_some(), reason: at.parked.or(at.waits) }))
}

fn ancestor(conn: &Connection, lane: i64) -> Result<Option<Ancestor>> {
    conn.prepare_cached(BLOCKER)?
        .query_row([lane], |row| {
            Ok(Ancestor {
                key: columns::lane_key(row, 0)?,
                blocked_by: row.get(2)?,
                waits: columns::reason(row, 3)?,
                parked: columns::reason(row, 5)?,
            })
        })
        .optional()
}
