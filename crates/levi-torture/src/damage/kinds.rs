//! The kinds of damage: every way in which people, disks and programs have damaged files.

use std::path::Path;

use levi_outbox::rusqlite::Connection;
use levi_outbox::rusqlite::config::DbConfig;
use levi_testkit::fixtures::SeededRandom;

use super::history::{Files, History, PAGE};
use crate::Error;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No damage: nothing may be reported.
    None,
    /// A page as it was some lives before.
    StalePage,
    /// The first page of an index or a small table as an earlier process left it.
    StaleRoot,
    /// Two pages in each other's place.
    Swapped,
    /// The file ends early.
    Truncated,
    /// A page of zeros, or of garbage.
    Overwritten,
    /// Half of a page from an earlier life.
    Spliced,
    /// A few bits of the database.
    Bits,
    /// A byte of the database's header.
    HeaderByte,
    /// The header's size of the database is old.
    HeaderSize,
    /// A byte of the schema.
    SchemaByte,
    /// A bit of the log.
    LogBit,
    /// A bit of the log's header.
    LogHeader,
    /// A page of the log is overwritten.
    LogPage,
    /// The log of an earlier life.
    LogOfAnotherTime,
    /// Values that no version writes.
    WrongValue,
    /// A number where there was a text, or the other way round.
    WrongType,
    /// Counts and due times that do not follow from the rows.
    WrongCount,
    /// Triggers and views that never end.
    CraftedSchema,
    /// Pages that lead to each other in a circle, or that claim more content than fits.
    CraftedPages,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::None,
        Self::StalePage,
        Self::StaleRoot,
        Self::Swapped,
        Self::Truncated,
        Self::Overwritten,
        Self::Spliced,
        Self::Bits,
        Self::HeaderByte,
        Self::HeaderSize,
        Self::SchemaByte,
        Self::LogBit,
        Self::LogHeader,
        Self::LogPage,
        Self::LogOfAnotherTime,
        Self::WrongValue,
        Self::WrongType,
        Self::WrongCount,
        Self::CraftedSchema,
        Self::CraftedPages,
    ];

    /// Whether the damage may change payloads, which no database notices.
    pub(super) const fn changes_payloads(self) -> bool {
        matches!(
            self,
            Self::Bits | Self::LogBit | Self::WrongType | Self::HeaderByte | Self::SchemaByte | Self::Spliced
        )
    }

    /// Whether a file of this kind can be a whole file of an earlier time, so that nobody can tell
    /// what is missing.
    pub(super) const fn can_be_sound(self) -> bool {
        matches!(self, Self::LogOfAnotherTime | Self::LogHeader)
    }

    fn is_about_the_log(self) -> bool {
        matches!(self, Self::LogBit | Self::LogHeader | Self::LogPage)
    }
}

/// The files of `history`, damaged. A description says where.
pub(super) fn damage(
    kind: Kind,
    history: &History,
    random: &mut SeededRandom,
    path: &Path,
) -> Result<String, Error> {
    let with_log = kind.is_about_the_log() || (kind != Kind::HeaderSize && random.below(4) == 0);
    let mut files = if with_log { history.killed.clone() } else { history.last() };
    let text = match kind {
        Kind::WrongValue | Kind::WrongCount | Kind::CraftedSchema => {
            files.write(path)?;
            return by_sql(kind, random, path);
        }
        _ => in_files(kind, history, random, &mut files),
    };
    files.write(path)?;
    Ok(format!("{text}{}", if with_log { ", with a log" } else { "" }))
}

fn in_files(kind: Kind, history: &History, random: &mut SeededRandom, files: &mut Files) -> String {
    let pages = files.pages();
    let page = below(random, pages);
    let earlier = random.choose(&history.closed[..history.closed.len() - 1]).cloned().unwrap_or_default();
    match kind {
        Kind::None | Kind::WrongValue | Kind::WrongCount | Kind::CraftedSchema => String::new(),
        Kind::StalePage => stale(files, &earlier, page),
        Kind::StaleRoot => {
            let roots: Vec<(&String, &usize)> = history.roots.iter().collect();
            match random.choose(&roots) {
                Some((name, root)) => format!("{name}: {}", stale(files, &earlier, **root)),
                None => String::new(),
            }
        }
        Kind::Swapped => {
            let other = below(random, pages);
            let (a, b) = (copy(files, page), copy(files, other));
            put(files, page, &b);
            put(files, other, &a);
            format!("pages {} and {}", page + 1, other + 1)
        }
        Kind::Truncated => {
            let length = below(random, files.database.len());
            files.database.truncate(length.max(1));
            format!("at {length}")
        }
        Kind::Overwritten => {
            let byte = [0, 0xff, 0xa5].get(below(random, 3)).copied().unwrap_or(0);
            put(files, page, &[byte; PAGE]);
            format!("page {} with {byte}", page + 1)
        }
        Kind::Spliced => {
            let mut spliced = copy(files, page);
            if let Some(old) = earlier.page(page) {
                let at = below(random, 8) * 512;
                spliced[at..].copy_from_slice(&old[at..]);
            }
            put(files, page, &spliced);
            format!("page {}", page + 1)
        }
        Kind::Bits => {
            let bits = 1 + random.below(8);
            let at: Vec<usize> = (0..bits).map(|_| flip(&mut files.database, 0, random)).collect();
            format!("{at:?}")
        }
        Kind::HeaderByte => {
            let at = below(random, 100);
            files.database[at] ^= u8::try_from(1 + random.below(255)).unwrap_or(1);
            format!("byte {at}")
        }
        Kind::HeaderSize => {
            let old = earlier.database[24..32].to_vec();
            files.database[24..32].copy_from_slice(&old);
            let old = earlier.database[92..96].to_vec();
            files.database[92..96].copy_from_slice(&old);
            String::new()
        }
        Kind::SchemaByte => {
            let at = 100 + below(random, PAGE - 100);
            files.database[at] ^= u8::try_from(1 + random.below(255)).unwrap_or(1);
            format!("byte {at}")
        }
        Kind::LogBit => format!("{}", flip(&mut files.log, 32, random)),
        Kind::LogHeader => {
            let at = below(random, 32);
            files.log[at] ^= 1 << random.below(8);
            format!("byte {at}")
        }
        Kind::LogPage => {
            let frames = (files.log.len() - 32) / (PAGE + 24);
            let frame = below(random, frames);
            let at = 32 + frame * (PAGE + 24);
            let header = if random.below(2) == 0 { 24 } else { 0 };
            files.log[at + header..at + 24 + PAGE].fill(0x5a);
            format!("frame {} of {frames}", frame + 1)
        }
        Kind::LogOfAnotherTime => {
            files.log.clone_from(&history.older_log);
            String::new()
        }
        Kind::WrongType => wrong_type(files, random),
        Kind::CraftedPages => crafted_pages(files, history, random),
    }
}

fn below(random: &mut SeededRandom, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).unwrap_or(0)
}

fn copy(files: &Files, page: usize) -> Vec<u8> {
    files.page(page).map_or_else(|| vec![0; PAGE], <[u8]>::to_vec)
}

fn put(files: &mut Files, page: usize, bytes: &[u8]) {
    if let Some(page) = files.page_mut(page) {
        page.copy_from_slice(bytes);
    }
}

fn stale(files: &mut Files, earlier: &Files, page: usize) -> String {
    if let Some(old) = earlier.page(page) {
        put(files, page, old);
    }
    format!("page {}", page + 1)
}

fn flip(bytes: &mut [u8], from: usize, random: &mut SeededRandom) -> usize {
    let at = from + below(random, bytes.len() - from);
    bytes[at] ^= 1 << random.below(8);
    at
}

/// Changes the type of one column of a row to another one of the same length.
fn wrong_type(files: &mut Files, random: &mut SeededRandom) -> String {
    let leaves: Vec<usize> =
        (1..files.pages()).filter(|page| files.page(*page).is_some_and(|bytes| bytes[0] == 13)).collect();
    let Some(page) = random.choose(&leaves).copied() else { return String::new() };
    let Some(bytes) = files.page_mut(page) else { return String::new() };
    let cells = usize::from(bytes[3]) << 8 | usize::from(bytes[4]);
    let cell = below(random, cells);
    let Some(at) = bytes.get(8 + 2 * cell..10 + 2 * cell) else { return String::new() };
    let at = usize::from(at[0]) << 8 | usize::from(at[1]);
    // After the length and the id: the header of the record, whose columns have types of a byte
    // each, of which the first is that of NULL.
    let is_header = |at: &usize| matches!(bytes.get(*at..at + 2), Some([7..=16, 0]));
    let Some(header) = (at + 2..at + 8).find(is_header) else { return String::new() };
    let column = header + 2 + below(random, 5);
    let Some(byte) = bytes.get_mut(column) else { return String::new() };
    *byte = match *byte {
        1 => 15,
        2 => 17,
        8 | 9 => 13,
        other => other ^ 1,
    };
    format!("page {}, byte {column}", page + 1)
}

fn crafted_pages(files: &mut Files, history: &History, random: &mut SeededRandom) -> String {
    let roots: Vec<usize> = history.roots.values().copied().collect();
    let root = random.choose(&roots).copied().unwrap_or(1);
    let number = u32::try_from(root + 1).unwrap_or(1).to_be_bytes();
    match random.below(5) {
        0 => {
            // An interior page whose cells all lead to itself.
            let mut page = vec![0; PAGE];
            let (cells, first) = (300_u16, 12 + 600_usize);
            page[0] = 5;
            page[3..5].copy_from_slice(&cells.to_be_bytes());
            page[8..12].copy_from_slice(&number);
            for cell in 0..usize::from(cells) {
                let at = first + 5 * cell;
                page[12 + 2 * cell..14 + 2 * cell]
                    .copy_from_slice(&u16::try_from(at).unwrap_or(0).to_be_bytes());
                page[at..at + 4].copy_from_slice(&number);
                page[at + 4] = u8::try_from(cell % 100).unwrap_or(0);
            }
            put(files, root, &page);
            format!("page {} leads to itself", root + 1)
        }
        1 => {
            if let Some(page) = files.page_mut(root) {
                page[3..5].copy_from_slice(&[0xff, 0xff]);
            }
            format!("page {} has 65535 cells", root + 1)
        }
        2 => {
            files.database[28..32].copy_from_slice(&[0xff; 4]);
            "four billion pages".to_owned()
        }
        3 => {
            // The list of free pages leads to its own page.
            files.database[32..36].copy_from_slice(&number);
            put(files, root, &[number.as_slice(), &[0xff; PAGE - 4]].concat());
            format!("page {} is a list of free pages that leads to itself", root + 1)
        }
        _ => {
            // Every overflow page leads to itself.
            for page in 1..files.pages() {
                let next = u32::try_from(page + 1).unwrap_or(1).to_be_bytes();
                if let Some(bytes) = files.page_mut(page)
                    && bytes[0] == 0
                    && bytes[4..] != [0; PAGE - 4]
                {
                    bytes[..4].copy_from_slice(&next);
                }
            }
            "overflow pages in circles".to_owned()
        }
    }
}

const WRONG_VALUES: &[&str] = &[
    "UPDATE levi_outbox SET protection = 7 WHERE id = (SELECT min(id) FROM levi_outbox)",
    "UPDATE levi_outbox SET bytes = -1 WHERE id = (SELECT max(id) FROM levi_outbox)",
    "UPDATE levi_outbox SET bytes = 9223372036854775807 WHERE id = (SELECT max(id) FROM levi_outbox)",
    "UPDATE levi_outbox SET version = -3 WHERE id = (SELECT min(id) FROM levi_outbox)",
    "UPDATE levi_outbox SET lane = 99999 WHERE id = (SELECT max(id) FROM levi_outbox)",
    "UPDATE levi_lanes SET kind = 9 WHERE lane = (SELECT min(lane) FROM levi_lanes)",
    "UPDATE levi_lanes SET attempts = -1 WHERE lane = (SELECT max(lane) FROM levi_lanes)",
    "UPDATE levi_lanes SET attempts = 9999999999 WHERE lane = (SELECT max(lane) FROM levi_lanes)",
    "UPDATE levi_parked SET protection = -1 WHERE id = (SELECT max(id) FROM levi_parked)",
    "UPDATE levi_parked SET version = 0 WHERE id = (SELECT max(id) FROM levi_parked)",
];

const WRONG_COUNTS: &[&str] = &[
    "UPDATE levi_totals SET pending_rows = pending_rows + 7",
    "UPDATE levi_totals SET pending_bytes = 1 << 40",
    "UPDATE levi_totals SET lanes = 0, parked_rows = 0",
    "DELETE FROM levi_totals",
    "UPDATE levi_lanes SET due_at = NULL WHERE lane % 2 = 0",
    "UPDATE levi_lanes SET blocked_by = lane WHERE lane % 3 = 0",
];

const ENDLESS: &str =
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

fn by_sql(kind: Kind, random: &mut SeededRandom, path: &Path) -> Result<String, Error> {
    let conn = Connection::open(path)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    let crafted = [
        format!("CREATE TRIGGER t AFTER INSERT ON levi_outbox BEGIN {ENDLESS}; END"),
        format!("CREATE TRIGGER t BEFORE UPDATE ON levi_lanes BEGIN {ENDLESS}; END"),
        format!("DROP TABLE levi_totals; CREATE VIEW levi_totals AS {ENDLESS}"),
        format!("CREATE VIEW v AS {ENDLESS}"),
        "DROP INDEX levi_lanes_due".to_owned(),
        "DROP TABLE levi_schema".to_owned(),
        "CREATE INDEX extra ON levi_outbox (payload)".to_owned(),
    ];
    let chosen = match kind {
        Kind::WrongValue => random.choose(WRONG_VALUES).copied(),
        Kind::WrongCount => random.choose(WRONG_COUNTS).copied(),
        _ => random.choose(&crafted).map(String::as_str),
    };
    let sql = chosen.unwrap_or_default();
    conn.execute_batch(sql)?;
    Ok(sql.to_owned())
}
