//! Finds rows by their shape on every page, whatever table a damaged schema says the page is of.
//!
//! The tables of all schema versions differ in the number or the types of their columns, so that a
//! record tells which table it is of.

use std::collections::{BTreeSet, HashMap};

use super::super::overwrites;
use super::pages::{ImageId, Pages, Trust};
use super::record::{BtreePage, Cell, PageKind, Shape, Value, columns, shape};
use super::users::Users;
use crate::model::{LaneKey, Overwrite, RowKind};

/// Which table a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Pending,
    Parked,
    /// What became control rows with schema 3.
    Task,
}

impl Table {
    /// How many columns the table's rows have.
    pub(super) const fn columns(self) -> usize {
        match self {
            Self::Pending => 9,
            Self::Parked => 12,
            Self::Task => 10,
        }
    }
}

/// How many columns a lane has that names its user.
const LANE_COLUMNS: usize = 10;

/// A row that was seen; its payload is read later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) table: Table,
    pub(super) trust: Trust,
    pub(super) id: i64,
    /// 0 for a task.
    pub(super) lane: i64,
    pub(super) sequence_number: i64,
    pub(super) version: i64,
    pub(super) image: ImageId,
    pub(super) cell: Cell,
}

/// A lane's name, the repository that a session waits for, and the number of the lane's user.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) repository: Option<LaneKey>,
    /// `None` where only the name is known.
    pub(super) user: Option<i64>,
    found: LaneSource,
}

/// No outbox has had so many rows.
const MOST_IDS: i64 = 1 << 48;

/// Where a lane's name was read, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LaneSource {
    Table(Trust),
    /// The index of their names has neither repository nor user.
    Index,
}

/// What a pass over all pages finds.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) candidates: Vec<Candidate>,
    pub(super) lanes: HashMap<i64, Lane>,
    pub(super) users: Users,
    /// The page of the index of the users' names, of which there are few.
    users_index: Option<u32>,
    /// How many rows there are and how long, as the totals say.
    pub(super) counted: Option<Counted>,
    /// The rows that the indexes of their places have, by their ids.
    pub(super) placed: HashMap<i64, Place>,
    counted_by: Option<Trust>,
    /// The sessions whose row the server had. One that was forgotten since may be on a page that
    /// nothing leads to; its messages are then parked rather than the session written again.
    pub(super) sessions_sent: BTreeSet<String>,
    /// What rows may replace on the server, by their ids, where that is unusual.
    pub(super) overwrites: HashMap<i64, Overwrite>,
    /// Until when the server asked for no further request, in ms since the epoch.
    pub(super) paused_until: Option<i64>,
    /// The highest id that a row ever had.
    pub(super) last_id: i64,
    /// What tells this outbox from every other.
    pub(super) writer: Option<Writer>,
}

/// The bytes of an outbox's own, and how far they are to be believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) bytes: [u8; 16],
    trust: Trust,
}

impl Scan {
    pub(super) fn of(pages: &Pages) -> Self {
        let mut scan = Self::default();
        for (image, trust) in pages.images() {
            if let Some(bytes) = pages.image(image) {
                scan.page(image, trust, &bytes, pages.known_bytes(image));
            }
        }
        scan
    }

    /// `known` is how many of the bytes there are: the file may end within the page.
    fn page(&mut self, image: ImageId, trust: Trust, bytes: &[u8], known: usize) {
        let Some(page) = BtreePage::parse(image.page, bytes) else { return };
        for cell in page.cells().into_iter().filter(|cell| BtreePage::end(cell) <= known) {
            let local = page.local(&cell);
            let (Some(shape), Some(values)) = (shape(local), columns(local)) else { continue };
            if page.kind == PageKind::TableLeaf {
                self.table_row(image, trust, cell, shape, &values);
            } else {
                self.index_entry(image, trust, shape.columns, &values);
            }
        }
    }

    fn table_row(&mut self, image: ImageId, trust: Trust, cell: Cell, shape: Shape, values: &[Value<'_>]) {
        let count = shape.columns;
        // A payload is the only blob that ends a record of a table with so many columns, so that a row with a damaged
        // type is not taken for a lane.
        if let Some(candidate) = candidate(image, trust, cell, shape, values) {
            self.candidates.push(candidate);
        } else if let Some(found) = Lane::of_record(count, values, LaneSource::Table(trust)) {
            if count == LANE_COLUMNS {
                self.users.exist();
            }
            self.lane(cell.rowid, found);
        } else if let Some(totals) = Totals::of_record(count, values)
            && self.counted_by.is_none_or(|by| trust < by)
        {
            (self.counted, self.counted_by) = (Some(totals.counted), Some(trust));
            if let Some(user) = totals.user {
                self.users.set_signed_in(user);
            }
        } else if let (2, [Value::Null, Value::Text(name)]) = (count, values)
            && let Some(name) = utf8(name)
        {
            self.users.add(cell.rowid, name);
        } else if let (2, [Value::Text(b"levi_outbox"), Value::Integer(id)]) = (count, values) {
            self.note_id(*id);
        } else if let (2, 1, [Value::Null, value]) = (count, cell.rowid, values)
            && !matches!(value, Value::Text(_))
        {
            self.only_row(trust, *value);
        } else if let (3, [Value::Null, Value::Integer(_), Value::Integer(mode)]) = (count, values)
            && trust != Trust::Damaged
        {
            self.overwrites.insert(cell.rowid, overwrites::of_mode(Some(*mode)));
        } else if let [Value::Text(_), Value::Text(name), Value::Text(table), Value::Integer(root), ..] =
            values
            && *table == b"levi_users"
        {
            self.users.exist();
            if *name == b"sqlite_autoindex_levi_users_1" {
                self.users_index = u32::try_from(*root).ok();
            }
        }
    }

    /// A row had this id, unless the number is damaged: that one must not use up the ids.
    fn note_id(&mut self, id: i64) {
        if id < MOST_IDS {
            self.last_id = self.last_id.max(id);
        }
    }

    /// The only row of the table with the server's wait, which has a number, or of the one with the outbox's own bytes.
    /// A wait on a page that nothing leads to may have been ended.
    fn only_row(&mut self, trust: Trust, value: Value<'_>) {
        match value {
            Value::Integer(until) if trust == Trust::Current => self.paused_until = Some(until),
            Value::Blob(bytes) => {
                if let Ok(bytes) = bytes.try_into()
                    && self.writer.is_none_or(|known| trust < known.trust)
                {
                    self.writer = Some(Writer { bytes, trust });
                }
            }
            _ => {}
        }
    }

    /// The index of the lanes' names has kind, subject and lane; that of the users' name and user;
    /// that of the rows' places lane, sequence number and id. The table of the sessions sent is an
    /// index too, and alone has one column.
    fn index_entry(&mut self, image: ImageId, trust: Trust, columns: usize, values: &[Value<'_>]) {
        match values {
            [Value::Integer(kind), Value::Text(subject), Value::Integer(lane)] => {
                if let Some(key) = lane_key(*kind, subject) {
                    let found = LaneSource::Index;
                    self.lane(*lane, Lane { key, repository: None, user: None, found });
                }
            }
            [Value::Integer(lane), Value::Integer(sequence_number), Value::Integer(id)]
                if trust == Trust::Current =>
            {
                self.note_id(*id);
                self.placed.insert(*id, Place { lane: *lane, sequence_number: *sequence_number });
            }
            [Value::Text(session)] if columns == 1 && trust != Trust::Damaged => {
                self.sessions_sent.extend(utf8(session).map(str::to_owned));
            }
            [Value::Text(name), Value::Integer(user)] if self.users_index == Some(image.page) => {
                if let Some(name) = utf8(name) {
                    self.users.add(*user, name);
                }
            }
            _ => {}
        }
    }

    fn lane(&mut self, id: i64, lane: Lane) {
        if self.lanes.get(&id).is_none_or(|known| lane.found < known.found) {
            self.lanes.insert(id, lane);
        }
    }
}

impl Lane {
    /// A lane of any schema version.
    fn of_record(count: usize, values: &[Value<'_>], found: LaneSource) -> Option<Self> {
        match (count, values) {
            // From schema 3 on. Schema 4 adds the user, which an older row has not.
            (9 | LANE_COLUMNS, [Value::Null, Value::Integer(kind), Value::Text(subject), repository, ..]) => {
                let repository = repository.text().and_then(utf8).map(|id| LaneKey::Repository(id.into()));
                let user = Some(values.get(9).and_then(|user| user.integer()).unwrap_or(0));
                Some(Self { key: lane_key(*kind, subject)?, repository, user, found })
            }
            // Before: 8 columns, then 7. A lane was a session's.
            (7 | 8, [Value::Null, Value::Text(session), Value::Integer(_), ..]) => {
                Some(Self { key: lane_key(3, session)?, repository: None, user: Some(0), found })
            }
            _ => None,
        }
    }
}

fn lane_key(kind: i64, subject: &[u8]) -> Option<LaneKey> {
    let subject = utf8(subject)?;
    Some(match kind {
        0 => LaneKey::Repository(subject.into()),
        1 => LaneKey::Session(subject.into()),
        2 => LaneKey::Secret(subject.into()),
        3 => LaneKey::Messages(subject.into()),
        _ => return None,
    })
}

/// The lane of a row whose lane's name is lost: a name by which the row can be listed.
pub(super) fn lost_lane(lane: i64, kind: RowKind) -> LaneKey {
    let subject = format!("lost-{lane}");
    match kind {
        RowKind::Repository => LaneKey::Repository(subject.into()),
        RowKind::Session => LaneKey::Session(subject.into()),
        RowKind::Secret => LaneKey::Secret(subject.into()),
        RowKind::Message => LaneKey::Messages(subject.into()),
    }
}

fn candidate(
    image: ImageId,
    trust: Trust,
    cell: Cell,
    shape: Shape,
    values: &[Value<'_>],
) -> Option<Candidate> {
    // A column whose type is damaged may hide those after it.
    let value = |column: usize| values.get(column).copied().unwrap_or(Value::Null);
    let (lane, sequence_number) = (value(1), value(2));
    let (table, place, version) = match (shape.columns, values.first()?) {
        _ if !shape.ends_in_blob => return None,
        (9, Value::Null) => (Table::Pending, Place::of(cell.rowid, lane, sequence_number), value(3)),
        (12, Value::Null) => (Table::Parked, Place::of(cell.rowid, lane, sequence_number), value(3)),
        (10, Value::Text(_)) => (Table::Task, Place { lane: 0, sequence_number: 0 }, lane),
        _ => return None,
    };
    let Place { lane, sequence_number } = place;
    let (id, version) = (cell.rowid, version.integer().unwrap_or(1));
    Some(Candidate { table, trust, id, lane, sequence_number, version, image, cell })
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    lane: i64,
    sequence_number: i64,
}

impl Candidate {
    /// Where it says that it belongs.
    pub(super) const fn place(&self) -> Place {
        Place { lane: self.lane, sequence_number: self.sequence_number }
    }

    /// The same row in a place of its own, because another row is believed to have the one that it names.
    pub(super) const fn displaced(self) -> Self {
        Self { lane: -self.lane.saturating_abs(), sequence_number: self.id, ..self }
    }
}

impl Place {
    /// A row whose place is not known gets one of its own, in a lane that no row was ever given: ids
    /// of lanes are positive.
    fn of(id: i64, lane: Value<'_>, sequence_number: Value<'_>) -> Self {
        match (lane, sequence_number) {
            (Value::Integer(lane), Value::Integer(sequence_number)) => Self { lane, sequence_number },
            (Value::Integer(lane), _) => Self { lane: lane.saturating_neg(), sequence_number: id },
            _ => Self { lane: 0, sequence_number: id },
        }
    }
}

/// How many rows an outbox has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Pending and parked, of every kind.
    pub(super) rows: u64,
    /// Of their payloads; `None` in an older version's file.
    pub(super) bytes: Option<u64>,
}

/// What the totals of any schema version say.
struct Totals {
    counted: Counted,
    /// Who signed in last.
    user: Option<i64>,
}

impl Totals {
    fn of_record(count: usize, values: &[Value<'_>]) -> Option<Self> {
        let [Value::Null, rest @ ..] = values else { return None };
        let counts: Vec<u64> = rest.iter().map_while(|value| u64::try_from(value.integer()?).ok()).collect();
        let sum = |counts: [u64; 4]| counts.into_iter().fold(0, u64::saturating_add);
        let counted = match (count, counts.as_slice()) {
            // From schema 3 on: messages and control rows, pending and parked. Schema 4 adds the user.
            (8 | 9, [pending, bytes, parked, parked_bytes, control, parked_control, _, ..]) => Counted {
                rows: sum([*pending, *parked, *control, *parked_control]),
                bytes: Some(bytes.saturating_add(*parked_bytes)),
            },
            // Before, with tasks. Schema 2 added a column.
            (7 | 8, [pending, _, parked, _, _, tasks, ..]) => {
                Counted { rows: sum([*pending, *parked, *tasks, 0]), bytes: None }
            }
            _ => return None,
        };
        Some(Self { counted, user: rest.get(7).and_then(|user| user.integer()) })
    }
}

/// The first page of a table or index, if the record is one of the schema.
pub(super) fn root_page(record: &[u8]) -> Option<u32> {
    match columns(record)?.as_slice() {
        [Value::Text(_), Value::Text(_), Value::Text(_), Value::Integer(root), ..] => {
            u32::try_from(*root).ok()
        }
        _ => None,
    }
}

/// The highest id that was given out, if the page says so.
pub(super) fn last_id(number: u32, bytes: &[u8]) -> Option<i64> {
    let page = BtreePage::parse(number, bytes).filter(|page| page.kind == PageKind::TableLeaf)?;
    page.cells().iter().find_map(|cell| match columns(page.local(cell))?.as_slice() {
        [Value::Text(b"levi_outbox"), Value::Integer(last)] => Some(*last),
        _ => None,
    })
}

/// The highest id of a pending row on the page.
pub(super) fn highest_id(number: u32, bytes: &[u8]) -> Option<i64> {
    let page = BtreePage::parse(number, bytes).filter(|page| page.kind == PageKind::TableLeaf)?;
    let pending = Shape { columns: Table::Pending.columns(), ends_in_blob: true };
    let is_pending = |cell: &&Cell| shape(page.local(cell)) == Some(pending);
    page.cells().iter().filter(is_pending).map(|cell| cell.rowid).max()
}

pub(super) fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
