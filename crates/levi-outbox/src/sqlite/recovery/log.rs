//! The write-ahead log, read without SQLite.
//!
//! SQLite takes a log up to the first frame whose checksum is wrong, and removes the rest. A process
//! that was killed leaves such a frame at the end. A frame that is damaged in the middle looks the
//! same to SQLite, but whole commits follow it: they were written, and may have been acknowledged.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;

use super::numbers::{be32, valid_page_size};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Bytes of the log that are read at a time.
const READ_AT_ONCE: usize = 1 << 17;

/// A log that can be read, with what is in it.
#[derive(Default)]
pub(super) struct Log {
    file: Option<File>,
    page_size: usize,
    /// The page images of commits that SQLite takes: the offset of each page's last one.
    committed: HashMap<u32, u64>,
    /// The page images behind damage, in whole commits.
    behind: HashMap<u32, u64>,
    /// The page images in damaged frames.
    damaged: Vec<(u32, u64)>,
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
    offset: u64,
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
    /// Reads the log of the database at `path`, a frame at a time: it may be longer than the memory. `page_size` is for a
    /// log whose header is damaged.
    pub(super) fn read(log: &Path, page_size: usize) -> io::Result<Self> {
        let file = match File::open(log) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::with_capacity(READ_AT_ONCE, &file);
        let mut header = [0; HEADER];
        // What the disk cannot read of it is missing at the end, as after a crash.
        let header = reader.read_exact(&mut header).ok().and_then(|()| Header::parse(&header));
        let mut frames = Frames::of(header.as_ref(), page_size);
        frames.read(&mut reader);
        let (page_size, frames) = (frames.page_size, frames.frames);
        let mut log = Self { file: Some(file), page_size, is_newer: header.is_some(), ..Self::default() };
        log.sort_frames(&frames);
        Ok(log)
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
    pub(super) fn latest(&self, page: u32) -> Option<Vec<u8>> {
        if self.is_newer { self.behind_damage(page).or_else(|| self.taken_by_sqlite(page)) } else { None }
    }

    pub(super) fn has_latest(&self, page: u32) -> bool {
        self.is_newer && (self.is_behind_damage(page) || self.is_taken_by_sqlite(page))
    }

    pub(super) fn taken_by_sqlite(&self, page: u32) -> Option<Vec<u8>> {
        self.image(*self.committed.get(&page)?)
    }

    pub(super) fn is_taken_by_sqlite(&self, page: u32) -> bool {
        self.committed.contains_key(&page)
    }

    pub(super) fn behind_damage(&self, page: u32) -> Option<Vec<u8>> {
        self.image(*self.behind.get(&page)?)
    }

    pub(super) fn is_behind_damage(&self, page: u32) -> bool {
        self.behind.contains_key(&page)
    }

    /// The pages whose images are in damaged frames, in the order of these.
    pub(super) fn damaged_pages(&self) -> impl Iterator<Item = u32> {
        self.damaged.iter().map(|(page, _)| *page)
    }

    /// The image in the n-th damaged frame.
    pub(super) fn damaged(&self, frame: usize) -> Option<Vec<u8>> {
        self.image(self.damaged.get(frame)?.1)
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
        self.is_newer.then_some(self.page_size)
    }

    fn image(&self, offset: u64) -> Option<Vec<u8>> {
        let mut file = self.file.as_ref()?;
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut image = vec![0; self.page_size];
        file.read_exact(&mut image).ok().map(|()| image)
    }
}

/// The frames of one use of the log, in their order.
struct Frames {
    order: ByteOrder,
    page_size: usize,
    /// A log whose header is damaged has the salts of its first frame.
    salts: Option<[u8; 8]>,
    /// The checksum as the frame before has stored it, or the header.
    before: Option<[u32; 2]>,
    frames: Vec<Frame>,
}

impl Frames {
    fn of(header: Option<&Header>, page_size: usize) -> Self {
        Self {
            order: header.map_or(ByteOrder::Little, |header| header.order),
            page_size: header.map_or(page_size, |header| header.page_size),
            salts: header.map(|header| header.salts),
            before: header.map(|header| header.checksum),
            frames: Vec::new(),
        }
    }

    fn read(&mut self, reader: &mut impl Read) {
        let mut frame = vec![0; FRAME_HEADER + self.page_size];
        let mut offset = (HEADER + FRAME_HEADER) as u64;
        while reader.read_exact(&mut frame).is_ok() {
            self.add(&frame, offset);
            offset += frame.len() as u64;
        }
    }

    /// Says whether the frame continues the chain of checksums as the one before has stored it: damage to one frame leaves
    /// the rest of the chain whole.
    fn add(&mut self, frame: &[u8], offset: u64) {
        let (page, commit) = (be32(frame, 0).unwrap_or(0), be32(frame, 4).unwrap_or(0));
        let stored = [be32(frame, 16).unwrap_or(0), be32(frame, 20).unwrap_or(0)];
        let salts = *self.salts.get_or_insert_with(|| frame[8..16].try_into().unwrap_or_default());
        let chained = self.before.is_some_and(|before| {
            let sum = checksum(before, &frame[..8], self.order);
            frame[8..16] == salts && checksum(sum, &frame[FRAME_HEADER..], self.order) == stored
        });
        let follows = if chained { Follows::Chained } else { Follows::Broken };
        self.frames.push(Frame { page, commit, offset, follows });
        self.before = Some(stored);
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
        let page_size = valid_page_size(usize::try_from(be32(bytes, 8)?).ok()?)?;
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
