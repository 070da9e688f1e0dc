//! The pages of a database and its log, read without SQLite: neither the header, nor the schema, nor
//! a page that leads to others decides what is read.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::files::{self, beside};
use super::log::Log;
use super::numbers::{HEADER_BYTES, be16, be32, valid_page_size};
use super::record::BtreePage;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The size that SQLite gives to the pages of a new database.
pub(super) const DEFAULT_PAGE_SIZE: usize = 4096;

/// The table of the ids that were given out is created first, and so is on one of the first pages.
const SEQUENCE_PAGES: u32 = 64;

/// How far an image of a page is to be believed, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// The latest image of a page that belongs to a table.
    Current,
    /// An image that nothing leads to, or that a later one replaced. Its rows may be gone for good
    /// reason: sent, or discarded.
    Uncertain,
    /// From a damaged frame of the log.
    Damaged,
}

/// Where an image of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ImageId {
    pub(super) page: u32,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Latest,
    /// The one that SQLite takes, though there is a later one behind damage in the log.
    TakenBySqlite,
    /// One behind damage, in a log that may be older than the database.
    BehindDamage,
    /// The database's own, though the log has another.
    InDatabase,
    /// The n-th damaged frame.
    Frame(usize),
}

/// Reads a page of the database with its log, or of the database alone.
type View = fn(&Pages, u32) -> Option<Vec<u8>>;

/// A database with its log.
pub(super) struct Pages {
    database: File,
    /// Bytes in the file.
    length: u64,
    log: Log,
    page_size: usize,
    /// Pages in the file or in the log, whichever has more.
    count: u32,
}

impl Pages {
    /// The pages of `page_size` bytes of the database at `path`.
    pub(super) fn open(path: &Path, page_size: usize) -> io::Result<Self> {
        let database = File::open(path)?;
        let log = Log::read(&beside(path, "-wal"), page_size)?;
        let length = database.metadata()?.len();
        let in_file = length.div_ceil(page_size as u64);
        let in_log = log.pages().max().unwrap_or(0).min(log.database_pages.unwrap_or(0));
        let count = u32::try_from(in_file).unwrap_or(u32::MAX).max(in_log);
        Ok(Self { database, length, log, page_size, count })
    }

    /// The sizes that the pages may have: what the headers say, and SQLite's default.
    pub(super) fn candidate_sizes(path: &Path) -> io::Result<Vec<usize>> {
        let mut header = Vec::new();
        File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut header).ok();
        let log = Log::read(&beside(path, "-wal"), DEFAULT_PAGE_SIZE)?;
        let mut sizes: Vec<usize> =
            [page_size_in(&header), log.page_size(), Some(DEFAULT_PAGE_SIZE)].into_iter().flatten().collect();
        sizes.sort_unstable();
        sizes.dedup();
        Ok(sizes)
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// The latest image of a page; `None` if it cannot be read.
    pub(super) fn latest(&self, page: u32) -> Option<Vec<u8>> {
        self.log.latest(page).or_else(|| self.in_database(page))
    }

    /// The bytes of an image.
    pub(super) fn image(&self, id: ImageId) -> Option<Vec<u8>> {
        self.version(id.version, id.page).or_else(|| self.in_database(id.page))
    }

    /// A page with more of a record whose cell is in the image `of`, as it was when that was written.
    pub(super) fn overflow(&self, of: ImageId, page: u32) -> Option<Vec<u8>> {
        let version = if let Version::Frame(_) = of.version { Version::Latest } else { of.version };
        match self.version(version, page) {
            Some(image) => Some(image),
            // A page that the file's end cuts off has lost some of the record.
            None => self.in_database(page).filter(|_| self.bytes_in_file(page) == self.page_size),
        }
    }

    /// The image in the log that belongs to this version, if there is one.
    fn version(&self, version: Version, page: u32) -> Option<Vec<u8>> {
        match version {
            Version::Latest => self.log.latest(page),
            Version::TakenBySqlite => self.log.taken_by_sqlite(page),
            Version::BehindDamage => self.log.behind_damage(page).or_else(|| self.log.taken_by_sqlite(page)),
            Version::InDatabase => None,
            Version::Frame(index) => self.log.damaged(index),
        }
    }

    /// How many bytes of an image there are: the file may end within it.
    pub(super) fn known_bytes(&self, id: ImageId) -> usize {
        if self.version(id.version, id.page).is_some() { self.page_size } else { self.bytes_in_file(id.page) }
    }

    fn bytes_in_file(&self, page: u32) -> usize {
        let start = u64::from(page.saturating_sub(1)) * self.page_size as u64;
        let rest = self.length.saturating_sub(start);
        usize::try_from(rest).unwrap_or(self.page_size).min(self.page_size)
    }

    fn in_database(&self, page: u32) -> Option<Vec<u8>> {
        let start = u64::from(page.checked_sub(1)?) * self.page_size as u64;
        let mut file = &self.database;
        file.seek(SeekFrom::Start(start)).ok()?;
        let mut bytes = Vec::with_capacity(self.page_size);
        // A page that the file's end cuts off, or that the disk reads in part, is zero from there.
        let read = file.take(self.page_size as u64).read_to_end(&mut bytes);
        bytes.resize(self.page_size, 0);
        read.ok().map(|_| bytes)
    }

    /// Every image of every page, with how far it is to be believed. Free pages are left out: their
    /// rows are gone. Where the log is older than the database, each has a list of free pages and interior
    /// pages of its own: a page is free if both say so.
    pub(super) fn images(&self) -> Vec<(ImageId, Trust)> {
        let log_is_older = self.log_is_older();
        let mut free = self.free_pages(Self::latest);
        if log_is_older {
            let free_in_database = self.free_pages(Self::in_database);
            free.retain(|page| free_in_database.contains(page));
        }
        let mut led_to = self.pages_led_to(&free, Self::latest);
        if log_is_older {
            led_to.extend(self.pages_led_to(&free, Self::in_database));
        }
        let mut images = Vec::new();
        for page in 1..=self.count {
            let mut image = |version, trust| images.push((ImageId { page, version }, trust));
            match (led_to.contains(&page), free.contains(&page)) {
                (true, false) => image(Version::Latest, Trust::Current),
                (true, true) | (false, false) => image(Version::Latest, Trust::Uncertain),
                (false, true) => {}
            }
            if self.log.is_behind_damage(page) {
                image(Version::TakenBySqlite, Trust::Uncertain);
                image(Version::BehindDamage, Trust::Uncertain);
            }
            if log_is_older && self.log.has_latest(page) {
                image(Version::InDatabase, Trust::Uncertain);
            }
        }
        let damaged = self.log.damaged_pages().enumerate();
        images.extend(
            damaged.map(|(index, page)| (ImageId { page, version: Version::Frame(index) }, Trust::Damaged)),
        );
        images
    }

    /// The pages that the schema and interior pages lead to. A page that is said to be free leads to
    /// others only if another page leads to it, because the list of free pages may be damaged too.
    fn pages_led_to(&self, free: &HashSet<u32>, view: View) -> HashSet<u32> {
        let mut led_to = HashSet::from([1]);
        let mut to_read: Vec<u32> = (1..=self.count).filter(|page| !free.contains(page)).collect();
        while let Some(number) = to_read.pop() {
            let Some(bytes) = view(self, number) else { continue };
            let Some(page) = BtreePage::parse(number, &bytes) else { continue };
            let roots = page.cells();
            let roots = roots.iter().filter_map(|cell| super::scan::root_page(page.local(cell)));
            for child in page.children().into_iter().chain(roots) {
                if led_to.insert(child) && free.contains(&child) {
                    to_read.push(child);
                }
            }
        }
        led_to
    }

    /// The pages of the list of free pages, as far as the list can be followed.
    fn free_pages(&self, view: View) -> HashSet<u32> {
        let mut free = HashSet::new();
        let mut next = view(self, 1).and_then(|header| be32(&header, 32)).unwrap_or(0);
        while next > 0 && next <= self.count && free.insert(next) {
            let Some(trunk) = view(self, next) else { break };
            let leaves = be32(&trunk, 4).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
            let leaves = leaves.min(self.page_size / 4 - 2);
            free.extend((0..leaves).filter_map(|leaf| be32(&trunk, 8 + 4 * leaf)));
            next = be32(&trunk, 0).unwrap_or(0);
        }
        free
    }

    /// Whether the log was written before the database beside it: a row in a page that the log
    /// replaces is newer than every id that was given out by then.
    pub(super) fn log_is_older(&self) -> bool {
        if self.log.is_empty() {
            return false;
        }
        let latest = (1..=self.count.min(SEQUENCE_PAGES)).filter_map(|page| Some((page, self.latest(page)?)));
        let given_out = latest.filter_map(|(page, bytes)| super::scan::last_id(page, &bytes)).max();
        let Some(given_out) = given_out else { return false };
        let mut replaced = self.log.pages().filter_map(|page| Some((page, self.in_database(page)?)));
        replaced.any(|(page, bytes)| super::scan::highest_id(page, &bytes) > Some(given_out))
    }

    /// The first page that is neither in the file nor in the log. SQLite fails where it needs one, be it for a new row.
    fn first_missing(&self) -> Option<u32> {
        let in_file = u32::try_from(self.length / self.page_size as u64).unwrap_or(u32::MAX);
        let last = self.log.database_pages.unwrap_or(0);
        (in_file.saturating_add(1)..=last).find(|page| !self.log.is_taken_by_sqlite(*page))
    }

    pub(super) fn log_damage(&self) -> Option<&str> {
        self.log.damage.as_deref()
    }
}

/// What is wrong with the database's header or its log, before SQLite looks at either.
pub(super) fn damage(path: &Path) -> io::Result<Option<String>> {
    let length = files::length(path);
    // SQLite takes back what the journal of a killed process is about.
    if files::length(&beside(path, "-journal")) > 0 {
        return Ok(None);
    }
    if length == 0 {
        // SQLite would take it for a new database and remove the log, which may contain every row.
        let log = files::length(&beside(path, "-wal"));
        return Ok((log > 0).then(|| "the database is empty and its log is not".to_owned()));
    }
    let mut header = Vec::new();
    File::open(path)?.take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    if let Some(damage) = header_damage(&header) {
        return Ok(Some(damage.to_owned()));
    }
    let page_size = page_size_in(&header).unwrap_or(DEFAULT_PAGE_SIZE);
    let pages = Pages::open(path, page_size)?;
    if let Some(damage) = pages.log_damage() {
        return Ok(Some(damage.to_owned()));
    }
    if pages.log.is_empty() {
        let said = be32(&header, 28).map(|pages| u64::from(pages) * page_size as u64);
        let wrong = said != Some(length);
        return Ok(
            wrong.then(|| format!("the header says {} bytes, the file has {length}", said.unwrap_or(0)))
        );
    }
    if pages.log_is_older() {
        return Ok(Some("the log is older than the database".to_owned()));
    }
    Ok(pages
        .first_missing()
        .map(|page| format!("the file ends before page {page}, and the log does not have it")))
}

/// Checks the values that SQLite gives to every database of ours. A damaged one makes SQLite say
/// that the file is read-only, or something else that is not about damage.
fn header_damage(header: &[u8]) -> Option<&'static str> {
    const WAL_OR_ROLLBACK: [u8; 2] = [1, 2];
    let sound = header.len() == HEADER_BYTES
        && header.starts_with(MAGIC)
        && page_size_in(header).is_some()
        && WAL_OR_ROLLBACK.contains(&header[18])
        && WAL_OR_ROLLBACK.contains(&header[19])
        // No bytes are reserved on a page; the fractions are fixed.
        && header[20..24] == [0, 64, 32, 32]
        // The schema's format, and UTF-8; neither is set before the first checkpoint.
        && matches!((be32(header, 44), be32(header, 56)), (Some(1..=4), Some(1)) | (Some(0), Some(0)))
        && header[72..92].iter().all(|byte| *byte == 0);
    (!sound).then_some("the database's header is damaged")
}

/// The size of a page that a database's header names.
fn page_size_in(header: &[u8]) -> Option<usize> {
    match be16(header, 16)? {
        1 => Some(65_536),
        size => valid_page_size(size),
    }
}
