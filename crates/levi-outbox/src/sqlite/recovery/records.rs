//! The records of another database that may be damaged, such as the session store beside an outbox: found on every page,
//! whatever a damaged schema says. What tables they are of is for their owner to tell.

use std::io;
use std::path::Path;

use rusqlite::types::Value as Column;

use super::pages::{self, Pages, Trust};
use super::record::{BtreePage, PageKind, Value, WholeColumns, columns};

/// A record that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundRecord {
    /// Whether it is certainly in the database. Others may have been replaced or deleted.
    pub is_current: bool,
    /// Whether it is an entry of an index, or of a table without row ids.
    pub in_index: bool,
    /// The columns as stored. The alias of a row id is null.
    pub columns: Vec<Column>,
}

/// What is wrong with the header of the database at `path` or with its log, which SQLite does not look at in this way. No
/// process may have it open.
///
/// # Errors
/// If the file cannot be read.
pub fn damage(path: &Path) -> io::Result<Option<String>> {
    pages::damage(path)
}

/// Every record of the database at `path`, with the page size at which most are found. Those that do not fit together are
/// left out.
///
/// # Errors
/// If the file cannot be read.
pub fn records(path: &Path) -> io::Result<Vec<FoundRecord>> {
    let mut best = Vec::new();
    for page_size in Pages::candidate_sizes(path)? {
        let found = records_of(&Pages::open(path, page_size)?);
        if found.len() > best.len() {
            best = found;
        }
    }
    Ok(best)
}

fn records_of(pages: &Pages) -> Vec<FoundRecord> {
    let mut found = Vec::new();
    for (image, trust) in pages.images() {
        let Some(bytes) = pages.image(image) else { continue };
        let Some(page) = BtreePage::parse(image.page, &bytes) else { continue };
        let known = pages.known_bytes(image);
        for cell in page.cells().iter().filter(|cell| BtreePage::end(cell) <= known) {
            let record = page.record(cell, |number| pages.overflow(image, number));
            let columns = record.as_deref().and_then(WholeColumns::of).filter(|columns| columns.fit);
            let columns =
                columns.and_then(|columns| columns.values.iter().map(|value| value.owned()).collect());
            let (is_current, in_index) = (trust == Trust::Current, page.kind != PageKind::TableLeaf);
            found.extend(columns.map(|columns| FoundRecord { is_current, in_index, columns }));
        }
    }
    found
}

/// The name of a table that is no outbox's: the file is the daemon's own database. The name is in its record twice, and
/// damage to one of them makes no table of the daemon's.
pub(super) fn table_of_the_daemon(pages: &Pages) -> Option<String> {
    let mut current = pages.images().into_iter().filter(|(_, trust)| *trust == Trust::Current);
    current.find_map(|(image, _)| {
        let bytes = pages.image(image)?;
        let page = BtreePage::parse(image.page, &bytes).filter(|page| page.kind == PageKind::TableLeaf)?;
        page.cells().iter().find_map(|cell| other_table(page.local(cell)))
    })
}

fn other_table(record: &[u8]) -> Option<String> {
    // The session store may be in the same file.
    let is_ours = |name: &[u8]| {
        name.starts_with(b"sqlite_") || name.starts_with(b"levi_") && !name.starts_with(b"levi_store_")
    };
    match columns(record)?.as_slice() {
        [Value::Text(b"table"), Value::Text(name), Value::Text(again), Value::Integer(_), ..]
            if !is_ours(name) && !is_ours(again) =>
        {
            Some(String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

impl Value<'_> {
    /// `None` for text that is none, and for numbers that no table of ours has.
    fn owned(&self) -> Option<Column> {
        Some(match self {
            Self::Null => Column::Null,
            Self::Integer(value) => Column::Integer(*value),
            Self::Text(text) => Column::Text(std::str::from_utf8(text).ok()?.to_owned()),
            Self::Real => return None,
            Self::Blob(bytes) => Column::Blob(bytes.to_vec()),
        })
    }
}
