//! An independent reader: finds the payloads that are complete on pages of the files. It shares no
//! code with Levi's recovery, and relies on pages of 4096 bytes.

use std::collections::{HashMap, HashSet};

use super::history::{Files, PAGE};

/// Where the log's frames begin, and how long a frame's header is.
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// The payloads of all rows that are complete on a page as SQLite reads the files, or behind damage
/// in the log. Pages in `free` hold rows that were removed.
pub(super) fn payloads(files: &Files, free: &HashSet<usize>) -> HashSet<Vec<u8>> {
    let (taken, behind) = log_images(&files.log);
    let page = |number: usize| {
        let image = taken.get(&number).and_then(|at| files.log.get(*at..at + PAGE));
        image.or_else(|| files.database.get(number * PAGE..(number + 1) * PAGE))
    };
    let mut payloads = HashSet::new();
    let most = files.pages().max(taken.keys().max().map_or(0, |last| last + 1));
    for number in (0..most).filter(|number| !free.contains(number)) {
        payloads.extend(page(number).into_iter().flat_map(|bytes| in_leaf(number, bytes, &page)));
    }
    for (number, at) in behind {
        let image = files.log.get(at..at + PAGE);
        payloads.extend(image.into_iter().flat_map(|bytes| in_leaf(number, bytes, &page)));
    }
    payloads
}

/// The offset of each page's last image before the first damaged frame, and of each one's last
/// behind it in a whole commit.
fn log_images(log: &[u8]) -> (HashMap<usize, usize>, HashMap<usize, usize>) {
    let (mut taken, mut behind) = (HashMap::new(), HashMap::new());
    let (Some(salts), Some(start)) = (log.get(16..24), log.get(24..32)) else { return (taken, behind) };
    let mut sum = [word(start, 0, u32::from_be_bytes), word(start, 4, u32::from_be_bytes)];
    let (mut commit, mut is_whole) = (HashMap::new(), true);
    if checksum([0, 0], &log[..24]) != sum {
        is_whole = false;
    }
    let mut at = LOG_HEADER;
    while let Some(frame) = log.get(at..at + FRAME_HEADER + PAGE) {
        let stored = [word(frame, 16, u32::from_be_bytes), word(frame, 20, u32::from_be_bytes)];
        let follows =
            &frame[8..16] == salts && checksum(checksum(sum, &frame[..8]), &frame[FRAME_HEADER..]) == stored;
        if !follows && is_whole {
            commit.clear();
            is_whole = false;
        }
        if follows {
            commit.insert(word(frame, 0, u32::from_be_bytes) as usize - 1, at + FRAME_HEADER);
            if word(frame, 4, u32::from_be_bytes) > 0 {
                if is_whole { taken.extend(commit.drain()) } else { behind.extend(commit.drain()) }
            }
        }
        sum = stored;
        at += FRAME_HEADER + PAGE;
    }
    (taken, behind)
}

fn word(bytes: &[u8], at: usize, read: fn([u8; 4]) -> u32) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, read)
}

fn checksum(sum: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    bytes.chunks_exact(8).fold(sum, |[a, b], pair| {
        let a = a.wrapping_add(word(pair, 0, u32::from_le_bytes)).wrapping_add(b);
        [a, b.wrapping_add(word(pair, 4, u32::from_le_bytes)).wrapping_add(a)]
    })
}

/// The last columns of the rows with 9 or 12 columns on a leaf page.
fn in_leaf<'a>(number: usize, bytes: &'a [u8], page: &impl Fn(usize) -> Option<&'a [u8]>) -> Vec<Vec<u8>> {
    let header = if number == 0 { 100 } else { 0 };
    if bytes.get(header) != Some(&13) {
        return Vec::new();
    }
    let half =
        |at: usize| bytes.get(at..at + 2).map_or(0, |half| usize::from(half[0]) << 8 | usize::from(half[1]));
    let cells = half(header + 3);
    (0..cells).filter_map(|cell| payload(bytes, half(header + 8 + 2 * cell), page)).collect()
}

fn payload<'a>(bytes: &'a [u8], mut at: usize, page: &impl Fn(usize) -> Option<&'a [u8]>) -> Option<Vec<u8>> {
    if at < 8 {
        return None;
    }
    let length = usize::try_from(varint(bytes, &mut at)?).ok()?;
    varint(bytes, &mut at)?;
    let record = record(bytes, at, length, page)?;
    let mut at = 0;
    let header = usize::try_from(varint(&record, &mut at)?).ok()?;
    let mut types = Vec::new();
    while at < header {
        types.push(varint(&record, &mut at)?);
    }
    let last = *types.last()?;
    if (types.len() != 9 && types.len() != 12) || last < 12 || !last.is_multiple_of(2) || types[0] != 0 {
        return None;
    }
    let length = usize::try_from((last - 12) / 2).ok()?;
    record.get(record.len().checked_sub(length)?..).map(<[u8]>::to_vec)
}

fn record<'a>(
    bytes: &'a [u8],
    at: usize,
    length: usize,
    page: &impl Fn(usize) -> Option<&'a [u8]>,
) -> Option<Vec<u8>> {
    let most = PAGE - 35;
    if length <= most {
        return bytes.get(at..at + length).map(<[u8]>::to_vec);
    }
    let least = (PAGE - 12) * 32 / 255 - 23;
    let local = least + (length - least) % (PAGE - 4);
    let local = if local <= most { local } else { least };
    let mut record = bytes.get(at..at + local)?.to_vec();
    let mut next = word(bytes, at + local, u32::from_be_bytes);
    for _ in 0..length / (PAGE - 4) + 1 {
        if record.len() >= length {
            break;
        }
        let overflow = page(usize::try_from(next).ok()?.checked_sub(1)?)?;
        record.extend_from_slice(&overflow[4..4 + (length - record.len()).min(PAGE - 4)]);
        next = word(overflow, 0, u32::from_be_bytes);
    }
    (record.len() == length).then_some(record)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for _ in 0..8 {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The pages (from 0) that the list of free pages names.
pub(super) fn free_pages(files: &Files) -> HashSet<usize> {
    let mut free = HashSet::new();
    let mut next = word(&files.database, 32, u32::from_be_bytes) as usize;
    while next > 0 && free.insert(next - 1) {
        let Some(trunk) = files.page(next - 1) else { break };
        let leaves = word(trunk, 4, u32::from_be_bytes) as usize;
        free.extend(
            (0..leaves).map(|leaf| (word(trunk, 8 + 4 * leaf, u32::from_be_bytes) as usize).wrapping_sub(1)),
        );
        next = word(trunk, 0, u32::from_be_bytes) as usize;
    }
    free
}
