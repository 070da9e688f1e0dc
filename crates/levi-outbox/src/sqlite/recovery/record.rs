//! SQLite's file format as far as a scan needs it: the cells of b-tree pages, and records.
//!
//! Everything here may be damaged, so every offset and length is checked, and what does not fit is
//! `None`. The format is described at <https://www.sqlite.org/fileformat2.html>.

use super::numbers::{HEADER_BYTES, be16, be32};

/// The kinds of b-tree pages, from the first byte of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    TableLeaf,
    TableInterior,
    IndexLeaf,
    IndexInterior,
}

impl PageKind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            2 => Some(Self::IndexInterior),
            5 => Some(Self::TableInterior),
            10 => Some(Self::IndexLeaf),
            13 => Some(Self::TableLeaf),
            _ => None,
        }
    }

    const fn is_interior(self) -> bool {
        matches!(self, Self::TableInterior | Self::IndexInterior)
    }
}

/// A b-tree page.
pub(super) struct BtreePage<'a> {
    bytes: &'a [u8],
    pub(super) kind: PageKind,
    /// Where the page's header begins: after the file's header on page 1.
    header: usize,
}

/// Where a cell's record begins, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// The row's id; 0 on a page of an index.
    pub(super) rowid: i64,
    /// Bytes of the record, those on overflow pages included.
    length: usize,
    /// Where the part of the record that is on this page begins.
    start: usize,
    /// How long that part is.
    local: usize,
}

impl Cell {
    /// Whether the record goes on elsewhere.
    pub(super) const fn has_overflow(&self) -> bool {
        self.local < self.length
    }
}

impl<'a> BtreePage<'a> {
    /// The page with this number, if its first byte says that it is one of a b-tree.
    pub(super) fn parse(number: u32, bytes: &'a [u8]) -> Option<Self> {
        let header = if number == 1 { HEADER_BYTES } else { 0 };
        let kind = PageKind::of(*bytes.get(header)?)?;
        Some(Self { bytes, kind, header })
    }

    /// The offsets of the cells that lie within the page. More cannot be there than fit in.
    fn cell_offsets(&self) -> impl Iterator<Item = usize> + '_ {
        let first = self.header + if self.kind.is_interior() { 12 } else { 8 };
        let cells = be16(self.bytes, self.header + 3).unwrap_or(0);
        (0..cells).map_while(move |cell| be16(self.bytes, first + 2 * cell)).filter(|at| *at > 0)
    }

    /// The pages that an interior page leads to.
    pub(super) fn children(&self) -> Vec<u32> {
        if !self.kind.is_interior() {
            return Vec::new();
        }
        let right = be32(self.bytes, self.header + 8);
        self.cell_offsets().filter_map(|at| be32(self.bytes, at)).chain(right).collect()
    }

    /// The cells with records, each once: a page of an index has them at every level, a table only
    /// in its leaves.
    pub(super) fn cells(&self) -> Vec<Cell> {
        if self.kind == PageKind::TableInterior {
            return Vec::new();
        }
        self.cell_offsets().filter_map(|at| self.cell(at)).collect()
    }

    fn cell(&self, mut at: usize) -> Option<Cell> {
        if self.kind == PageKind::IndexInterior {
            at += 4;
        }
        let length = usize::try_from(varint(self.bytes, &mut at)?).ok()?;
        let is_table = self.kind == PageKind::TableLeaf;
        let rowid = if is_table { varint(self.bytes, &mut at)?.cast_signed() } else { 0 };
        let local = local_bytes(length, self.bytes.len(), is_table);
        let end = at.checked_add(local)?.checked_add(if local < length { 4 } else { 0 })?;
        (length > 0 && end <= self.bytes.len()).then_some(Cell { rowid, length, start: at, local })
    }

    /// Where the cell's part on the page ends.
    pub(super) const fn end(cell: &Cell) -> usize {
        cell.start + cell.local
    }

    /// The part of the record that is on the page.
    pub(super) fn local(&self, cell: &Cell) -> &'a [u8] {
        self.bytes.get(cell.start..cell.start + cell.local).unwrap_or_default()
    }

    /// The whole record. `next_page` reads an overflow page, each of which belongs to one record.
    pub(super) fn record<P: AsRef<[u8]>>(
        &self,
        cell: &Cell,
        mut next_page: impl FnMut(u32) -> Option<P>,
    ) -> Option<Vec<u8>> {
        let mut record = self.local(cell).to_vec();
        let mut next = be32(self.bytes, cell.start + cell.local).unwrap_or(0);
        while record.len() < cell.length {
            let page = next_page(next)?;
            next = be32(page.as_ref(), 0)?;
            let content = page.as_ref().get(4..)?;
            record.extend_from_slice(&content[..content.len().min(cell.length - record.len())]);
        }
        Some(record)
    }
}

/// How much of a record is in its cell.
const fn local_bytes(length: usize, page: usize, is_table: bool) -> usize {
    let most = if is_table { page - 35 } else { (page - 12) * 64 / 255 - 23 };
    if length <= most {
        return length;
    }
    let least = (page - 12) * 32 / 255 - 23;
    let rest = least + (length - least) % (page - 4);
    if rest <= most { rest } else { least }
}

/// A column's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Integer(i64),
    Real,
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(super) const fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }

    pub(super) const fn text(self) -> Option<&'a [u8]> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }
}

/// The columns of a record. Those whose values are cut off, because only the local part is known,
/// are missing at the end. `None` if the record's header does not fit together.
pub(super) fn columns(record: &[u8]) -> Option<Vec<Value<'_>>> {
    let types = column_types(record)?;
    let mut at = types.header;
    let mut values = Vec::with_capacity(types.serial.len());
    for serial in types.serial {
        let Some(value) = value(record, &mut at, serial) else { break };
        values.push(value);
    }
    Some(values)
}

/// The columns of a whole record. Where a type is damaged, the lengths of all do not add up to the record's: then the
/// first half is read from the front and the second from the end, so that one wrong type spoils no column of the other
/// half.
pub(super) struct WholeColumns<'a> {
    pub(super) values: Vec<Value<'a>>,
    /// Whether the lengths add up.
    pub(super) fit: bool,
}

impl<'a> WholeColumns<'a> {
    /// `None` if the record's header does not fit together.
    pub(super) fn of(record: &'a [u8]) -> Option<Self> {
        let types = column_types(record)?;
        let count = types.serial.len();
        let mut values = columns(record)?;
        let lengths = types.serial.iter().map(|serial| length(*serial));
        let sum = lengths.fold(types.header as u64, u64::saturating_add);
        if values.len() == count && sum == record.len() as u64 {
            return Some(Self { values, fit: true });
        }
        values.resize(count, Value::Null);
        let mut end = record.len();
        for (value_at, serial) in types.serial.iter().enumerate().skip(count / 2).rev() {
            let start = usize::try_from(length(*serial)).ok().and_then(|length| end.checked_sub(length));
            let Some(mut start) = start.filter(|start| *start >= types.header) else { break };
            end = start;
            values[value_at] = value(record, &mut start, *serial).unwrap_or(Value::Null);
        }
        Some(Self { values, fit: false })
    }
}

/// How many columns a record has, and whether the last is a blob. The local part is enough to know.
pub(super) fn shape(record: &[u8]) -> Option<Shape> {
    let types = column_types(record)?.serial;
    let ends_in_blob = types.last().is_some_and(|last| *last >= 12 && last.is_multiple_of(2));
    Some(Shape { columns: types.len(), ends_in_blob })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) columns: usize,
    pub(super) ends_in_blob: bool,
}

struct ColumnTypes {
    /// The length of the record's header.
    header: usize,
    serial: Vec<u64>,
}

fn column_types(record: &[u8]) -> Option<ColumnTypes> {
    let mut at = 0;
    let header = usize::try_from(varint(record, &mut at)?).ok()?;
    if header > record.len() {
        return None;
    }
    let mut serial = Vec::new();
    while at < header {
        serial.push(varint(record, &mut at)?);
    }
    (at == header).then_some(ColumnTypes { header, serial })
}

fn value<'a>(record: &'a [u8], at: &mut usize, serial: u64) -> Option<Value<'a>> {
    let end = at.checked_add(usize::try_from(length(serial)).ok()?)?;
    let bytes = record.get(*at..end)?;
    *at = end;
    Some(match serial {
        // SQLite reads the types that it reserves as NULL.
        0 | 10 | 11 => Value::Null,
        7 => Value::Real,
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        1..=6 => Value::Integer(signed(bytes)),
        _ if serial.is_multiple_of(2) => Value::Blob(bytes),
        _ => Value::Text(bytes),
    })
}

/// How many bytes the value of a column of this type takes.
const fn length(serial: u64) -> u64 {
    match serial {
        0 | 8..=11 => 0,
        1..=4 => serial,
        5 => 6,
        6 | 7 => 8,
        _ => (serial - 12) / 2,
    }
}

/// A big-endian integer in two's complement.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| *first >= 0x80);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| (value << 8) | i64::from(*byte))
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..9 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if index == 8 {
            return Some((value << 8) | u64::from(byte));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
