//! Finds rows by their shape on every page, whatever table a damaged schema says the page is of.
//!
//! The tables of all schema versions differ in the number or the types of their columns, so that a
//! record tells which table it is of.

use std::collections::HashMap;

use super::pages::{ImageId, Pages, Trust};
use super::record::{BtreePage, Cell, PageKind, Value, column_count, columns};
use crate::model::{LaneKey, RowKind};

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

/// A lane's name, and the repository that a session waits for.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) repository: Option<LaneKey>,
    found: LaneSource,
}

/// Where a lane's name was read, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LaneSource {
    Table(Trust),
    /// The index of their names has all but the repository.
    Index,
}

/// What a pass over all pages finds.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) candidates: Vec<Candidate>,
    pub(super) lanes: HashMap<i64, Lane>,
    /// How many rows there are, as the totals say.
    pub(super) counted: Option<u64>,
    counted_by: Option<Trust>,
    /// Pages that cannot be read, and cells that make no sense on pages of ours.
    pub(super) is_incomplete: bool,
}

impl Scan {
    pub(super) fn of(pages: &Pages) -> Self {
        let mut scan = Self::default();
        for (image, trust) in pages.images() {
            match pages.image(image) {
                Some(bytes) => scan.page(image, trust, &bytes),
                None => scan.is_incomplete = true,
            }
        }
        scan
    }

    fn page(&mut self, image: ImageId, trust: Trust, bytes: &[u8]) {
        let Some(page) = BtreePage::parse(image.page, bytes) else {
            // Overflow pages and pages of lists have no type, so that damage cannot be told from one.
            return;
        };
        for cell in page.cells() {
            let local = page.local(&cell);
            let Some(count) = column_count(local) else {
                self.is_incomplete = true;
                continue;
            };
            let Some(values) = columns(local) else { continue };
            if page.kind == PageKind::TableLeaf {
                self.table_row(image, trust, cell, count, &values);
            } else {
                self.index_entry(&values);
            }
        }
    }

    fn table_row(&mut self, image: ImageId, trust: Trust, cell: Cell, count: usize, values: &[Value<'_>]) {
        if let Some(lane) = lane(count, values) {
            self.lane(cell.rowid, lane, LaneSource::Table(trust));
        } else if let Some(candidate) = candidate(image, trust, cell, count, values) {
            self.candidates.push(candidate);
        } else if let Some(counted) = totals(count, values)
            && self.counted_by.is_none_or(|by| trust < by)
        {
            (self.counted, self.counted_by) = (Some(counted), Some(trust));
        }
    }

    /// The index of the lanes' names: kind, subject, lane.
    fn index_entry(&mut self, values: &[Value<'_>]) {
        if let [Value::Integer(kind), Value::Text(subject), Value::Integer(lane)] = values
            && let Some(key) = lane_key(*kind, subject)
        {
            self.lane(*lane, (key, None), LaneSource::Index);
        }
    }

    fn lane(&mut self, id: i64, (key, repository): (LaneKey, Option<LaneKey>), found: LaneSource) {
        let known = self.lanes.get(&id);
        if known.is_none_or(|known| found < known.found) {
            self.lanes.insert(id, Lane { key, repository, found });
        }
    }
}

/// A lane of any schema version.
fn lane(count: usize, values: &[Value<'_>]) -> Option<(LaneKey, Option<LaneKey>)> {
    match (count, values) {
        // From schema 3 on. Schema 4 adds the user.
        (9 | 10, [Value::Null, Value::Integer(kind), Value::Text(subject), repository, ..]) => {
            let repository = repository.text().and_then(utf8).map(|id| LaneKey::Repository(id.into()));
            Some((lane_key(*kind, subject)?, repository))
        }
        // Before: 8 columns, then 7. A lane was a session's.
        (7 | 8, [Value::Null, Value::Text(session), Value::Integer(_), ..]) => {
            Some((lane_key(3, session)?, None))
        }
        _ => None,
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
    count: usize,
    values: &[Value<'_>],
) -> Option<Candidate> {
    let row = |table, lane, sequence_number, version| {
        let id = cell.rowid;
        Some(Candidate { table, trust, id, lane, sequence_number, version, image, cell })
    };
    let version = |value: &Value<'_>| value.integer().unwrap_or(1);
    match (count, values) {
        (9, [Value::Null, Value::Integer(lane), Value::Integer(sequence_number), at, ..]) => {
            row(Table::Pending, *lane, *sequence_number, version(at))
        }
        (12, [Value::Null, Value::Integer(lane), Value::Integer(sequence_number), at, ..]) => {
            row(Table::Parked, *lane, *sequence_number, version(at))
        }
        (10, [Value::Text(_), at @ Value::Integer(_), Value::Integer(_), ..]) => {
            row(Table::Task, 0, 0, version(at))
        }
        _ => None,
    }
}

/// The number of rows in the totals of any schema version.
fn totals(count: usize, values: &[Value<'_>]) -> Option<u64> {
    let [Value::Null, rest @ ..] = values else { return None };
    let counts: Vec<u64> = rest.iter().map_while(|value| u64::try_from(value.integer()?).ok()).collect();
    let rows = match (count, counts.as_slice()) {
        // From schema 3 on: messages and control rows, pending and parked. Schema 4 adds the user.
        (8 | 9, [pending, _, parked, _, control, parked_control, _, ..]) => {
            [*pending, *parked, *control, *parked_control]
        }
        // Before, with tasks. Schema 2 added a column.
        (7 | 8, [pending, _, parked, _, _, tasks]) => [*pending, *parked, *tasks, 0],
        _ => return None,
    };
    Some(rows.into_iter().fold(0, u64::saturating_add))
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
    let is_row = |cell: &&Cell| column_count(page.local(cell)) == Some(Table::Pending.columns());
    let is_pending = |cell: &&Cell| {
        matches!(
            columns(page.local(cell)).as_deref(),
            Some([Value::Null, Value::Integer(_), Value::Integer(_), ..])
        )
    };
    page.cells().iter().filter(is_row).filter(is_pending).map(|cell| cell.rowid).max()
}

pub(super) fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
