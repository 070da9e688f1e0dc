//! The write-ahead log, read without SQLite.
//!
//! SQLite takes a log up to the first frame whose checksum is wrong, and removes the rest. A process
//! that was killed leaves such a frame at the end. A frame that is damaged in the middle looks the
//! same to SQLite, but whole commits follow it: they were written, and may have been acknowledged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::record::be32;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A log that can be read, with what is in it.
#[derive(Default)]
pub(super) struct Log {
    bytes: Vec<u8>,
    page_size: usize,
    /// The page images of commits that SQLite takes: the offset of each page's last one.
    committed: HashMap<u32, usize>,
    /// The page images behind damage, in whole commits.
    behind: HashMap<u32, usize>,
    /// The page images in damaged frames.
    damaged: Vec<(u32, usize)>,
    /// The number of pages of the database, as the last commit says.
    pub(super) database_pages: Option<u32>,
    pub(super) damage: Option<String>,
    /// Whether the log's header is sound, so that the log is known to be newer than the database.
    is_newer: bool,
}

/// One frame: a page's number and image, and how the chain of checksums passes through it.
struct Frame {
    page: u32,
    /// The database's size in pages; 0 unless the frame ends a commit.
    commit: u32,
    offset: usize,
    follows: Follows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    /// Its checksum continues the one of the frame before.
    Chained,
    /// It does not, or belongs to an earlier use of the file.
    Broken,
}

impl Log {
    /// Reads the log of the database at `path`. `page_size` is for a log whose header is damaged.
    pub(super) fn read(log: &Path, page_size: usize) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match File::open(log) {
            // What the disk cannot read of it is missing at the end, as after a crash.
            Ok(mut file) => drop(file.read_to_end(&mut bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        }
        Ok(Self::parse(bytes, page_size))
    }

    fn parse(bytes: Vec<u8>, page_size: usize) -> Self {
        let header = Header::parse(&bytes);
        let order = header.as_ref().map_or(ByteOrder::Little, |header| header.order);
        let page_size = header.as_ref().map_or(page_size, |header| header.page_size);
        let mut log = Self { bytes, page_size, is_newer: header.is_some(), ..Self::default() };
        // A log whose header is damaged has the salts of its first frame.
        let salts = match &header {
            Some(header) => Some(header.salts),
            None => log.bytes.get(HEADER + 8..HEADER + 16).and_then(|salts| salts.try_into().ok()),
        };
        let Some(salts) = salts else { return log };
        let frames = log.frames(salts, header.as_ref().map(|header| header.checksum), order);
        log.sort_frames(&frames);
        log
    }

    /// All frames of this use of the log, and whether each continues the chain of checksums as the
    /// frame before has stored it: damage to one frame leaves the rest of the chain whole.
    fn frames(&self, salts: [u8; 8], start: Option<[u32; 2]>, order: ByteOrder) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut before = start;
        let length = FRAME_HEADER + self.page_size;
        for (index, frame) in self.bytes.get(HEADER..).unwrap_or_default().chunks_exact(length).enumerate() {
            let (page, commit) = (be32(frame, 0).unwrap_or(0), be32(frame, 4).unwrap_or(0));
            let stored = [be32(frame, 16).unwrap_or(0), be32(frame, 20).unwrap_or(0)];
            let chained = before.is_some_and(|before| {
                let sum = checksum(before, &frame[..8], order);
                frame[8..16] == salts && checksum(sum, &frame[FRAME_HEADER..], order) == stored
            });
            let follows = if chained { Follows::Chained } else { Follows::Broken };
            frames.push(Frame { page, commit, offset: HEADER + index * length + FRAME_HEADER, follows });
            before = Some(stored);
        }
        frames
    }

    fn sort_frames(&mut self, frames: &[Frame]) {
        let broken = |frame: &Frame| frame.follows == Follows::Broken;
        let whole = frames.iter().position(broken).unwrap_or(frames.len());
        let commit = |frame: &Frame| frame.commit > 0 && frame.follows == Follows::Chained;
        let taken = frames[..whole].iter().rposition(commit).map_or(0, |last| last + 1);
        for frame in &frames[..taken] {
            self.committed.insert(frame.page, frame.offset);
            self.database_pages = Some(frame.commit).filter(|pages| *pages > 0).or(self.database_pages);
        }
        let behind = &frames[whole..];
        let Some(last) = behind.iter().rposition(commit) else { return };
        for frame in frames[taken..=whole + last].iter() {
            if broken(frame) {
                self.damaged.push((frame.page, frame.offset));
            } else {
                self.behind.insert(frame.page, frame.offset);
            }
            self.database_pages = self.database_pages.max(Some(frame.commit));
        }
        let commits = behind.iter().filter(|frame| commit(frame)).count();
        self.damage = Some(format!(
            "the log is damaged at frame {} of {}, and {commits} commits follow",
            whole + 1,
            frames.len()
        ));
    }

    /// The latest image of a page, if the log is known to be newer than the database.
    pub(super) fn latest(&self, page: u32) -> Option<&[u8]> {
        if self.is_newer { self.behind_damage(page).or_else(|| self.taken_by_sqlite(page)) } else { None }
    }

    pub(super) fn taken_by_sqlite(&self, page: u32) -> Option<&[u8]> {
        self.image(*self.committed.get(&page)?)
    }

    pub(super) fn behind_damage(&self, page: u32) -> Option<&[u8]> {
        self.image(*self.behind.get(&page)?)
    }

    /// The images in damaged frames.
    pub(super) fn damaged(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.damaged.iter().filter_map(|(page, offset)| Some((*page, self.image(*offset)?)))
    }

    /// Every page that the log has an image of.
    pub(super) fn pages(&self) -> impl Iterator<Item = u32> + '_ {
        self.committed.keys().chain(self.behind.keys()).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.behind.is_empty()
    }

    /// The size of a page as a sound header says.
    pub(super) fn page_size(&self) -> Option<usize> {
        Header::parse(&self.bytes).map(|header| header.page_size)
    }

    fn image(&self, offset: usize) -> Option<&[u8]> {
        self.bytes.get(offset..offset + self.page_size)
    }
}

struct Header {
    order: ByteOrder,
    page_size: usize,
    salts: [u8; 8],
    checksum: [u32; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Big,
}

impl Header {
    /// `None` where SQLite takes no frame, because the header is not sound.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let order = match be32(bytes, 0)? {
            0x377f_0682 => ByteOrder::Little,
            0x377f_0683 => ByteOrder::Big,
            _ => return None,
        };
        let page_size = super::pages::valid_page_size(usize::try_from(be32(bytes, 8)?).ok()?)?;
        let stored = [be32(bytes, 24)?, be32(bytes, 28)?];
        let sum = checksum([0, 0], &bytes[..24], order);
        let salts = bytes[16..24].try_into().ok()?;
        (sum == stored).then_some(Self { order, page_size, salts, checksum: stored })
    }
}

/// SQLite's checksum of a log, continued from `sum`.
fn checksum([mut a, mut b]: [u32; 2], bytes: &[u8], order: ByteOrder) -> [u32; 2] {
    let word = |bytes: &[u8]| {
        let word = bytes.try_into().unwrap_or_default();
        if order == ByteOrder::Little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(word(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(word(&pair[4..])).wrapping_add(a);
    }
    [a, b]
}
