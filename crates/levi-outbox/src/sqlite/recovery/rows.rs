//! Storing the rows that a scan found in a new database.

use std::collections::{BTreeSet, HashMap};

use levi_types::{UserId, Wall};
use rusqlite::{Connection, Result};

use super::super::columns::kind_code;
use super::super::counters::Counters;
use super::super::lane_cache::LaneCache;
use super::super::users::NOBODY;
use super::super::{change, enqueue, users};
use super::overflow::Overflow;
use super::pages::{Pages, Trust};
use super::record::{Value, WholeColumns};
use super::scan::{Candidate, Counted, Lane, Place, Scan, Table, lost_lane, utf8};
use super::users::Users;
use crate::model::{
    Change, Encryption, Enqueued, LaneId, LaneKey, NewRow, Overwrite, Reason, RowKind, TextDigests,
};

/// Rows written in one transaction.
const ROWS_PER_COMMIT: usize = 256;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) rows: u64,
    pub(super) parked: u64,
    pub(super) control_rows: u64,
    /// How many of those may have been sent or discarded before.
    pub(super) uncertain: u64,
    pub(super) lost: Option<u64>,
}

impl Recovered {
    const fn all(&self) -> u64 {
        self.rows + self.parked + self.control_rows
    }
}

/// A row that was read, with the reason and time of a parked one.
struct Found {
    row: NewRow,
    parked: Option<(Reason, Wall)>,
    trust: Trust,
}

/// Copies everything readable from `pages` to `new`. Errors are those of `new`.
pub(super) fn copy_rows(pages: &Pages, scan: Scan, new: &mut Connection) -> Result<Recovered> {
    let Scan { candidates, lanes, users, counted, mut placed, overwrites, .. } = scan;
    let groups = by_place(candidates, &lanes, &placed);
    let overflow = Overflow::of(pages, groups.iter().flatten());
    let mut reader = Reader { pages, lanes: &lanes, users: &users, overwrites: &overwrites, overflow };
    let mut copy =
        Copy { new, batch: Vec::new(), recovered: Recovered::default(), certain: NOTHING, refused: 0 };
    copy.ids_after(scan.last_id)?;
    let mut unreadable = 0;
    for group in groups {
        for candidate in &group {
            placed.remove(&candidate.id);
        }
        let is_certain = group.iter().any(|candidate| candidate.trust == Trust::Current);
        match group.iter().find_map(|candidate| reader.read(candidate)) {
            Some(found) if is_certain => copy.add(Found { trust: Trust::Current, ..found })?,
            Some(found) => copy.add(found)?,
            None => unreadable += 1,
        }
    }
    copy.flush()?;
    copy.sign_in(users.signed_in())?;
    copy.note_sent(&scan.sessions_sent)?;
    copy.note_wait(scan.paused_until.map(Wall::from_millis))?;
    copy.keep_writer(scan.writer.map(|writer| writer.bytes))?;
    let not_counted = counted.map(|counted| counted.rows.saturating_sub(copy.recovered.all()));
    let lost = match not_counted.map(|rows| rows.max(unreadable + copy.refused)) {
        // An index says that some are missing, or the counts are of other rows: one that left the outbox may stand for one
        // that is lost.
        Some(0)
            if !placed.is_empty() || !counted.is_some_and(|counted| copy.certain.agrees_with(counted)) =>
        {
            None
        }
        lost => lost,
    };
    Ok(Recovered { lost, ..copy.recovered })
}

const NOTHING: Counted = Counted { rows: 0, bytes: Some(0) };

impl Counted {
    fn add(&mut self, bytes: usize) {
        self.rows += 1;
        self.bytes = self.bytes.map(|sum| sum.saturating_add(bytes as u64));
    }

    /// Whether the rows that were found are those that an outbox counted.
    fn agrees_with(self, counted: Self) -> bool {
        self.rows == counted.rows && (counted.bytes.is_none() || self.bytes == counted.bytes)
    }
}

/// The candidates of each place (a lane's sequence number), best first. The places are in the order
/// of their rows' ids, those of rows that may be gone for good reason last.
fn by_place(
    mut candidates: Vec<Candidate>,
    lanes: &HashMap<i64, Lane>,
    placed: &HashMap<i64, Place>,
) -> Vec<Vec<Candidate>> {
    // Lanes that were made again under the same name are one.
    let mut numbers: HashMap<&LaneKey, i64> = HashMap::new();
    for (id, lane) in lanes {
        let number = numbers.entry(&lane.key).or_insert(*id);
        *number = (*number).min(*id);
    }
    let lane = |candidate: &Candidate| {
        let known = lanes.get(&candidate.lane).and_then(|lane| numbers.get(&lane.key));
        known.copied().unwrap_or(candidate.lane)
    };
    let place = |candidate: &Candidate| match candidate.table {
        Table::Task => (true, candidate.id, 0),
        _ => (false, lane(candidate), candidate.sequence_number),
    };
    // Of two images of one row the one with the higher version is newer; a damaged one comes last.
    candidates.sort_by_cached_key(|candidate| {
        let is_damaged = candidate.trust == Trust::Damaged;
        // No two rows have one place: a row whose place the index has elsewhere has a damaged one.
        let is_elsewhere = placed.get(&candidate.id).is_some_and(|place| *place != candidate.place());
        let newest = std::cmp::Reverse((candidate.id, candidate.version));
        (place(candidate), is_damaged, is_elsewhere, newest, candidate.trust, candidate.table)
    });
    let groups = candidates.chunk_by(|a, b| place(a) == place(b));
    let mut groups: Vec<Vec<Candidate>> = groups.flat_map(without_displaced).collect();
    let first = |group: &Vec<Candidate>| {
        let certain = group.iter().map(|candidate| candidate.trust).min();
        (certain, group.first().map(|candidate| (candidate.table, candidate.id)))
    };
    groups.sort_by_key(first);
    groups
}

/// The candidates of one place, and each of its rows that only damage can have put there: of the rows that certainly are
/// in the outbox, no two have one place.
fn without_displaced(group: &[Candidate]) -> Vec<Vec<Candidate>> {
    let Some(best) = group.first() else { return Vec::new() };
    let is_displaced = |candidate: &Candidate| {
        candidate.id != best.id
            && group.iter().any(|other| other.id == candidate.id && other.trust == Trust::Current)
    };
    let (displaced, kept): (Vec<Candidate>, Vec<Candidate>) = group.iter().copied().partition(is_displaced);
    let displaced: Vec<Candidate> = displaced.into_iter().map(Candidate::displaced).collect();
    let rows = displaced.chunk_by(|a, b| a.id == b.id).map(<[Candidate]>::to_vec);
    std::iter::once(kept).chain(rows).collect()
}

/// Reads the rows of candidates.
struct Reader<'a> {
    pages: &'a Pages,
    lanes: &'a HashMap<i64, Lane>,
    users: &'a Users,
    overwrites: &'a HashMap<i64, Overwrite>,
    overflow: Overflow,
}

impl Reader<'_> {
    fn read(&mut self, candidate: &Candidate) -> Option<Found> {
        let record = self.overflow.read(self.pages, candidate)?;
        let columns =
            WholeColumns::of(&record).filter(|columns| columns.values.len() == candidate.table.columns())?;
        match candidate.table {
            Table::Task if columns.fit => task(candidate, &columns.values, self.users.of_lane(Some(NOBODY))),
            Table::Task => None,
            Table::Pending | Table::Parked => self.row(candidate, &columns),
        }
    }

    /// A row whose values are wrong, or whose lane has lost its name, is parked under a reason that
    /// says so.
    fn row(&self, candidate: &Candidate, columns: &WholeColumns<'_>) -> Option<Found> {
        let values = &columns.values;
        let mut damage = None;
        let mut wrong = |what: &'static str| damage = Some(what);
        let message_id = match values[7] {
            Value::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => {
                wrong("its message id is lost");
                format!("lost-{}", candidate.id)
            }
        };
        let kind = RowKind::of_name(&message_id).filter(|_| values[5] == Value::Integer(2));
        let encryption = match values[5] {
            Value::Integer(0) => Encryption::SessionKey,
            Value::Integer(1) => Encryption::DatabaseKey,
            Value::Integer(2) => Encryption::None,
            _ => {
                wrong("the key that encrypts it is not known");
                Encryption::DatabaseKey
            }
        };
        let known = self.lanes.get(&candidate.lane);
        let user = self.users.of_lane(known.and_then(|lane| lane.user));
        let (key, repository) = match known {
            Some(lane) => (lane.key.clone(), lane.repository.clone()),
            None => {
                wrong("its session or its place there is not known");
                (lost_lane(candidate.lane, kind.unwrap_or(RowKind::Message)), None)
            }
        };
        let Value::Blob(payload) = values[values.len() - 1] else { return None };
        if values[4].integer().and_then(|bytes| usize::try_from(bytes).ok()) != Some(payload.len()) {
            wrong("its length is wrong");
        }
        if !columns.fit {
            wrong("the types of its columns are wrong");
        }
        let is_control = encryption == Encryption::None;
        if is_control != key.kind().is_control() {
            wrong("it is in a queue of another kind");
        }
        let row = NewRow {
            user,
            lane: key,
            parent: repository,
            sequence_number: candidate.sequence_number,
            message_id: message_id.into(),
            payload: payload.to_vec(),
            encryption,
            enqueued_at: Wall::from_millis(values[6].integer().unwrap_or(0)),
            overwrite: self.overwrites.get(&candidate.id).copied().unwrap_or_default(),
            restores_session: false,
            texts: TextDigests::default(),
        };
        let parked = match (damage, candidate.table) {
            (Some(what), _) => Some((damaged(what), row.enqueued_at)),
            (None, Table::Parked) => Some(parked(values)),
            (None, _) => None,
        };
        Some(Found { row, parked, trust: candidate.trust })
    }
}

fn damaged(what: &str) -> Reason {
    Reason { code: "damaged".into(), detail: format!("the row was in a damaged file, and {what}") }
}

fn parked(values: &[Value<'_>]) -> (Reason, Wall) {
    let text = |column: usize| values[column].text().map(|text| String::from_utf8_lossy(text).into_owned());
    let reason = match (text(9), text(10)) {
        (Some(code), Some(detail)) => Reason { code, detail },
        _ => lost_reason(),
    };
    (reason, Wall::from_millis(values[8].integer().unwrap_or(0)))
}

fn task(candidate: &Candidate, values: &[Value<'_>], user: Option<UserId>) -> Option<Found> {
    let (kind, id) = values[0].text().and_then(utf8)?.split_once('/')?;
    let lane = match RowKind::of_name(kind)? {
        RowKind::Repository => LaneKey::Repository(id.into()),
        RowKind::Session => LaneKey::Session(id.into()),
        RowKind::Secret => LaneKey::Secret(id.into()),
        RowKind::Message => return None,
    };
    let parent = values[5].text().and_then(utf8);
    let repository = parent.and_then(|parent| parent.strip_prefix("repository/"));
    let parent = repository.map(|id| LaneKey::Repository(id.into()));
    let due_at = values[3].integer();
    let enqueued_at = Wall::from_millis(due_at.unwrap_or(0));
    let Value::Blob(payload) = values[9] else { return None };
    let text = |column: usize| values[column].text().and_then(utf8).map(str::to_owned);
    let reason = match (text(7), text(8)) {
        (Some(code), Some(detail)) => Reason { code, detail },
        _ => lost_reason(),
    };
    let parked = due_at.is_none().then_some((reason, enqueued_at));
    let row = NewRow::control(lane, parent, payload.to_vec(), enqueued_at).for_user(user);
    Some(Found { row, parked, trust: candidate.trust })
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
    /// Those of the recovered rows that are certainly in the outbox.
    certain: Counted,
    /// Rows for which there is no place: damage has made up another that has it.
    refused: u64,
}

impl Copy<'_> {
    fn add(&mut self, found: Found) -> Result<()> {
        self.batch.push(found);
        if self.batch.len() < ROWS_PER_COMMIT { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let transaction = self.new.transaction()?;
        let mut counters = Counters::load(&transaction)?;
        let lanes = &mut LaneCache::default();
        for Found { mut row, parked, trust } in self.batch.drain(..) {
            if trust != Trust::Current {
                // The server may have it, or a newer text of the same message.
                row.overwrite = Overwrite::Nothing;
            }
            let rows = std::slice::from_ref(&row);
            let answers = enqueue::store_rows(&transaction, &mut counters, lanes, rows, u64::MAX)?;
            let [Enqueued::Stored { key, .. }] = answers.as_slice() else {
                self.refused += 1;
                continue;
            };
            let counter = match (row.kind().is_control(), &parked) {
                (true, _) => &mut self.recovered.control_rows,
                (false, Some(_)) => &mut self.recovered.parked,
                (false, None) => &mut self.recovered.rows,
            };
            *counter += 1;
            if trust == Trust::Current {
                self.certain.add(row.payload.len());
            }
            self.recovered.uncertain += u64::from(trust != Trust::Current);
            if let Some((reason, at)) = parked {
                let lane = lane_id(&transaction, &row.lane)?;
                let park = Change::Park { lane, row: *key, reason, at };
                change::apply(&transaction, &mut counters, &park)?;
                lanes.clear();
            }
        }
        counters.save(&transaction)?;
        transaction.commit()
    }

    /// No row gets an id that another one had: an operator may have read it before.
    fn ids_after(&mut self, last_id: i64) -> Result<()> {
        self.new.execute("DELETE FROM sqlite_sequence WHERE name = 'levi_outbox'", [])?;
        self.new.execute("INSERT INTO sqlite_sequence VALUES ('levi_outbox', ?1)", [last_id]).map(drop)
    }

    /// A session that the server had once and has no more was deleted elsewhere, also after a
    /// recovery: it is not written again.
    fn note_sent(&mut self, sessions: &BTreeSet<String>) -> Result<()> {
        let transaction = self.new.transaction()?;
        for session in sessions {
            transaction.prepare_cached(change::NOTE_SENT)?.execute([session])?;
        }
        transaction.commit()
    }

    /// The server asked for silence, whatever became of the file.
    fn note_wait(&mut self, until: Option<Wall>) -> Result<()> {
        let Some(until) = until else { return Ok(()) };
        let transaction = self.new.transaction()?;
        let mut counters = Counters::load(&transaction)?;
        change::apply(&transaction, &mut counters, &Change::Pause { until })?;
        transaction.commit()
    }

    /// What this outbox sent before stays its own.
    fn keep_writer(&mut self, writer: Option<[u8; 16]>) -> Result<()> {
        let Some(writer) = writer else { return Ok(()) };
        self.new.execute("UPDATE levi_writer SET writer = ?1 WHERE id = 1", [writer]).map(drop)
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
