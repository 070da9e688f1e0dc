//! Reading the rows of a damaged database, and storing them in a new one.

use std::collections::HashMap;

use levi_types::{UserId, Wall};
use rusqlite::{Connection, Error, Result, Row, Statement};

use super::super::columns::{encryption, kind_code, lane_key, reason, unsigned, wall};
use super::super::counters::Counters;
use super::super::lane_cache::LaneCache;
use super::super::{change, enqueue, users};
use super::users::Users;
use crate::model::{Change, Enqueued, LaneId, LaneKey, NewRow, Reason};

/// Rows written in one transaction.
const ROWS_PER_COMMIT: usize = 256;

/// How many ids a scan tries one by one on pages that cannot be read: more than one inner page
/// leads to.
const MAX_SKIPPED: u32 = 100_000;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) rows: u64,
    pub(super) parked: u64,
    pub(super) control_rows: u64,
    pub(super) lost: Option<u64>,
}

/// A row that was read, with the reason and time of a parked one.
struct Found {
    row: NewRow,
    parked: Option<(Reason, Wall)>,
}

/// Copies everything readable from `old` to `new`. Errors are those of `new`.
pub(super) fn copy_rows(old: &Connection, new: &mut Connection) -> Result<Recovered> {
    let source = Source { old, lanes: lanes(old) };
    let mut copy = Copy { new, batch: Vec::new(), recovered: Recovered::default(), all_read: true };
    for table in [&TASKS, &PARKED, &PENDING] {
        source.copy(table, &mut copy)?;
    }
    copy.flush()?;
    copy.sign_in(Users::read(old).signed_in(old))?;
    let Recovered { rows, parked, control_rows, .. } = copy.recovered;
    let counted = [COUNTS, COUNTS_BEFORE]
        .iter()
        .find_map(|sql| old.query_row(sql, [], |row| row.get(0)).map(unsigned).ok());
    let lost = match counted {
        Some(counted) => Some(counted.saturating_sub(rows + parked + control_rows)),
        None => copy.all_read.then_some(0),
    };
    Ok(Recovered { lost, ..copy.recovered })
}

const COUNTS: &str =
    "SELECT pending_rows + parked_rows + control_rows + parked_control_rows FROM levi_totals";
/// Before schema 3. These counts left out the newest rows.
const COUNTS_BEFORE: &str = "SELECT pending_rows + parked_rows + tasks FROM levi_totals";

/// A table with rows, read from either end. The first column is the id.
struct Table {
    up: &'static str,
    down: &'static str,
    found: fn(&Row<'_>, &HashMap<i64, Lane>) -> Result<Found>,
    /// Whether the table is in the present schema.
    is_present: bool,
}

const PENDING: Table = Table {
    up: "SELECT id, lane, sequence_number, bytes, protection, enqueued_at, message_id, payload \
         FROM levi_outbox NOT INDEXED WHERE id > ?1 ORDER BY id",
    down: "SELECT id, lane, sequence_number, bytes, protection, enqueued_at, message_id, payload \
           FROM levi_outbox NOT INDEXED WHERE id < ?1 ORDER BY id DESC",
    found: pending,
    is_present: true,
};

const PARKED: Table = Table {
    up: "SELECT id, lane, sequence_number, bytes, protection, enqueued_at, message_id, payload, \
         reason_code, reason_detail, parked_at FROM levi_parked NOT INDEXED WHERE id > ?1 ORDER BY id",
    down: "SELECT id, lane, sequence_number, bytes, protection, enqueued_at, message_id, payload, \
           reason_code, reason_detail, parked_at FROM levi_parked NOT INDEXED WHERE id < ?1 ORDER BY id DESC",
    found: parked,
    is_present: true,
};

/// What became control rows with schema 3.
const TASKS: Table = Table {
    up: "SELECT rowid, name, parent, payload, due_at, reason_code, reason_detail \
         FROM levi_tasks NOT INDEXED WHERE rowid > ?1 ORDER BY rowid",
    down: "SELECT rowid, name, parent, payload, due_at, reason_code, reason_detail \
           FROM levi_tasks NOT INDEXED WHERE rowid < ?1 ORDER BY rowid DESC",
    found: task,
    is_present: false,
};

/// The name of a lane, and the repository that a session waits for.
struct Lane {
    key: LaneKey,
    repository: Option<LaneKey>,
    /// For whom it waits; `None`: nobody had signed in.
    user: Option<UserId>,
}

/// The lanes by id, from the table and from its index, which has neither repository nor user.
fn lanes(old: &Connection) -> HashMap<i64, Lane> {
    const SCANS: [&str; 6] = [
        "SELECT lane, kind, subject, NULL, NULL FROM levi_lanes INDEXED BY sqlite_autoindex_levi_lanes_1",
        // Schema 3.
        "SELECT lane, kind, subject, repository_id, NULL FROM levi_lanes NOT INDEXED ORDER BY lane DESC",
        "SELECT lane, kind, subject, repository_id, NULL FROM levi_lanes NOT INDEXED ORDER BY lane",
        "SELECT lane, kind, subject, repository_id, user FROM levi_lanes NOT INDEXED ORDER BY lane DESC",
        "SELECT lane, kind, subject, repository_id, user FROM levi_lanes NOT INDEXED ORDER BY lane",
        // Before schema 3.
        "SELECT lane, 3, session_id, NULL, NULL FROM levi_lanes",
    ];
    let users = Users::read(old);
    let mut lanes = HashMap::new();
    for scan in SCANS {
        let Ok(mut statement) = old.prepare(scan) else { continue };
        let lane = |row: &Row<'_>| {
            let repository: Option<String> = row.get(3)?;
            let repository = repository.map(|id| LaneKey::Repository(id.into()));
            let user = users.of_lane(row.get(4)?);
            Ok((row.get(0)?, Lane { key: lane_key(row, 1)?, repository, user }))
        };
        let Ok(rows) = statement.query_map([], lane) else { continue };
        lanes.extend(rows.map_while(Result::ok));
    }
    lanes
}

struct Source<'a> {
    old: &'a Connection,
    lanes: HashMap<i64, Lane>,
}

/// Why a scan ended.
enum ScanEnd {
    LastRow,
    Unreadable,
}

impl Source<'_> {
    /// Copies a table from its first row to its last. Where a page cannot be read, the scan goes on
    /// with the next id; if that does not lead on, the rest is read from the other end.
    fn copy(&self, table: &Table, copy: &mut Copy<'_>) -> Result<()> {
        let Ok(mut up) = self.old.prepare(table.up) else {
            copy.all_read &= !table.is_present;
            return Ok(());
        };
        let mut last = 0;
        for _ in 0..MAX_SKIPPED {
            if let ScanEnd::LastRow = self.scan(&mut up, table, &mut last, copy)? {
                return Ok(());
            }
            copy.all_read = false;
            // The ids of a damaged page may be anything.
            last = last.saturating_add(1);
        }
        let Ok(mut down) = self.old.prepare(table.down) else { return Ok(()) };
        let mut last = i64::MAX;
        self.scan(&mut down, table, &mut last, copy).map(drop)
    }

    /// Copies the rows behind `last`, which becomes the last id that was read.
    fn scan(
        &self,
        statement: &mut Statement<'_>,
        table: &Table,
        last: &mut i64,
        copy: &mut Copy<'_>,
    ) -> Result<ScanEnd> {
        let Ok(mut rows) = statement.query([*last]) else { return Ok(ScanEnd::Unreadable) };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(ScanEnd::LastRow),
                Err(_) => return Ok(ScanEnd::Unreadable),
            };
            let Ok(id) = row.get(0) else { return Ok(ScanEnd::Unreadable) };
            *last = id;
            match (table.found)(row, &self.lanes) {
                Ok(found) => copy.add(found)?,
                Err(_) => copy.all_read = false,
            }
        }
    }
}

/// A pending row, if it is whole and its lane is known.
fn pending(row: &Row<'_>, lanes: &HashMap<i64, Lane>) -> Result<Found> {
    let payload: Vec<u8> = row.get(7)?;
    let length: i64 = row.get(3)?;
    let lane = lanes.get(&row.get(1)?).filter(|_| usize::try_from(length) == Ok(payload.len()));
    let Lane { key, repository, user } = lane.ok_or(Error::QueryReturnedNoRows)?;
    let row = NewRow {
        user: user.clone(),
        lane: key.clone(),
        parent: repository.clone(),
        sequence_number: row.get(2)?,
        message_id: row.get_ref(6)?.as_str()?.into(),
        payload,
        encryption: encryption(row, 4)?,
        enqueued_at: wall(row, 5)?,
    };
    Ok(Found { row, parked: None })
}

fn parked(row: &Row<'_>, lanes: &HashMap<i64, Lane>) -> Result<Found> {
    let parked = Some((reason(row, 8)?.unwrap_or_else(lost_reason), wall(row, 10)?));
    Ok(Found { parked, ..pending(row, lanes)? })
}

fn task(row: &Row<'_>, _: &HashMap<i64, Lane>) -> Result<Found> {
    let name: String = row.get(1)?;
    let lane = match name.split_once('/') {
        Some(("repository", id)) => LaneKey::Repository(id.into()),
        Some(("session", id)) => LaneKey::Session(id.into()),
        Some(("secret", id)) => LaneKey::Secret(id.into()),
        _ => return Err(Error::QueryReturnedNoRows),
    };
    let parent: Option<String> = row.get(2)?;
    let repository = parent.as_deref().and_then(|parent| parent.strip_prefix("repository/"));
    let parent = repository.map(|id| LaneKey::Repository(id.into()));
    let due_at: Option<i64> = row.get(4)?;
    let enqueued_at = Wall::from_millis(due_at.unwrap_or(0));
    let parked = match due_at {
        Some(_) => None,
        None => Some((reason(row, 5)?.unwrap_or_else(lost_reason), enqueued_at)),
    };
    Ok(Found { row: NewRow::control(lane, parent, row.get(3)?, enqueued_at), parked })
}

/// For a parked row without a reason.
fn lost_reason() -> Reason {
    Reason { code: "recovered".into(), detail: "the reason was lost with a damaged file".into() }
}

/// Writes rows to the new database in batches.
struct Copy<'a> {
    new: &'a mut Connection,
    batch: Vec<Found>,
    recovered: Recovered,
    /// Whether no row was skipped so far.
    all_read: bool,
}

impl Copy<'_> {
    fn add(&mut self, found: Found) -> Result<()> {
        self.batch.push(found);
        if self.batch.len() < ROWS_PER_COMMIT { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let transaction = self.new.transaction()?;
        let mut counters = Counters::load(&transaction)?;
        let (rows, parked): (Vec<NewRow>, Vec<_>) =
            self.batch.drain(..).map(|found| (found.row, found.parked)).unzip();
        let lanes = &mut LaneCache::default();
        let answers = enqueue::store_rows(&transaction, &mut counters, lanes, &rows, u64::MAX)?;
        for ((answer, row), parked) in answers.into_iter().zip(&rows).zip(parked) {
            // Another row has its sequence number: the damage made one of them up.
            let Enqueued::Stored { key, replaced: false } = answer else { continue };
            let counter = match (row.kind().is_control(), &parked) {
                (true, _) => &mut self.recovered.control_rows,
                (false, Some(_)) => &mut self.recovered.parked,
                (false, None) => &mut self.recovered.rows,
            };
            *counter += 1;
            if let Some((reason, at)) = parked {
                let lane = lane_id(&transaction, &row.lane)?;
                let park = Change::Park { lane, row: key, reason, at };
                change::apply(&transaction, &mut counters, &park)?;
            }
        }
        counters.save(&transaction)?;
        transaction.commit()
    }

    /// The last user is the last again, so that what is enqueued before a sign-in is this user's.
    fn sign_in(&mut self, user: Option<UserId>) -> Result<()> {
        let Some(user) = user else { return Ok(()) };
        let transaction = self.new.transaction()?;
        let mut counters = Counters::load(&transaction)?;
        users::signed_in(&transaction, &mut counters, &user)?;
        counters.save(&transaction)?;
        transaction.commit()
    }
}

fn lane_id(conn: &Connection, key: &LaneKey) -> Result<LaneId> {
    conn.prepare_cached("SELECT lane FROM levi_lanes WHERE kind = ?1 AND subject = ?2")?
        .query_row((kind_code(key.kind()), key.subject()), |row| row.get(0).map(LaneId))
}
