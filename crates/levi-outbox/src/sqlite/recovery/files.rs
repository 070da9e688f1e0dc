//! The files of a recovery and their names.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::data_dir::sync_parent;
use super::super::repair_lock::RepairLock;
use super::super::{failure, owner_lock};
use crate::error::OutboxError;

/// A copy that versions before schema 4 read.
pub(super) const READING_BEFORE: &str = ".reading";
/// The fresh outbox while rows are copied into it.
pub(super) const RECOVERING: &str = ".recovering";
/// The same, as versions before schema 3 named it.
pub(super) const RECOVERING_BEFORE: &str = ".salvaging";
/// The fresh outbox when it is whole.
const RECOVERED: &str = ".recovered";
/// The same, as versions before schema 3 named it.
const RECOVERED_BEFORE: &str = ".salvaged";
/// Marks a database in which damage was found since its last full check.
const SUSPECT: &str = ".suspect";

/// A damaged file that is kept, before its number.
const QUARANTINED: &str = ".damaged-";
/// What is kept of it.
const QUARANTINED_WITH: [&str; 3] = ["", "-wal", "-journal"];

/// The files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The most damaged files that are kept, and how many bytes they may take together. The newest is kept whatever it takes.
const QUARANTINED_KEPT: usize = 4;
const QUARANTINED_BYTES_KEPT: u64 = 1 << 30;

/// Bytes copied at a time. A block that the disk cannot read is lost as a whole.
const BLOCK: usize = 4096;

/// A file beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The length of a file; 0 if it does not exist.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Marks the file as suspect so that the next open checks the whole file. Best effort.
pub(in super::super) fn mark_suspect(path: &Path) {
    let _ = owner_lock::open_private(&beside(path, SUSPECT));
}

pub(super) fn is_suspect(path: &Path) -> bool {
    beside(path, SUSPECT).exists()
}

pub(in super::super) fn clear_suspect(path: &Path) {
    let _ = fs::remove_file(beside(path, SUSPECT));
}

/// Completes a recovery that was interrupted after its point of no return: the damaged files are
/// quarantined already, and the fresh outbox takes their place.
pub(in super::super) fn finish(path: &Path) -> Result<(), OutboxError> {
    if !is_interrupted(path) {
        return Ok(());
    }
    let _no_change = RepairLock::exclusive(path)?;
    complete(path)
}

/// Whether a recovery was interrupted after its point of no return. What is changed now would be undone.
pub(in super::super) fn is_interrupted(path: &Path) -> bool {
    recovered(path).is_some()
}

fn recovered(path: &Path) -> Option<PathBuf> {
    let names = [RECOVERED, RECOVERED_BEFORE].map(|suffix| beside(path, suffix));
    names.into_iter().find(|fresh| fresh.exists())
}

/// The caller holds the repair's lock.
pub(super) fn complete(path: &Path) -> Result<(), OutboxError> {
    let Some(fresh) = recovered(path) else { return Ok(()) };
    let replace = || {
        // Before the rename: SQLite would apply the old log to the fresh database.
        for companion in COMPANIONS {
            remove(&beside(path, companion))?;
        }
        sync_parent(path)?;
        fs::rename(&fresh, path)?;
        clear_suspect(path);
        sync_parent(path)
    };
    replace().map_err(|error| failure::from_io(error, path))
}

/// Marks the fresh outbox as whole: from here on the recovery is completed, now or by the next
/// open.
pub(super) fn replace(path: &Path, fresh: &Path) -> io::Result<()> {
    fs::rename(fresh, beside(path, RECOVERED))?;
    sync_parent(path)
}

/// Gives the damaged files a second name and returns it. No byte is changed.
pub(super) fn quarantine(path: &Path) -> io::Result<PathBuf> {
    let last = all_quarantined(path)?.last_key_value().map_or(0, |(number, _)| *number);
    let number = last.checked_add(1).ok_or(ErrorKind::AlreadyExists)?;
    let quarantined = name_of_quarantined(path, number);
    for companion in QUARANTINED_WITH {
        let (from, to) = (beside(path, companion), beside(&quarantined, companion));
        if from.exists() && fs::hard_link(&from, &to).is_err() {
            // A file system without hard links.
            copy_readable(&from, &to)?;
        }
    }
    sync_parent(path)?;
    Ok(quarantined)
}

fn name_of_quarantined(path: &Path, number: u64) -> PathBuf {
    beside(path, &format!("{QUARANTINED}{number}"))
}

/// The damaged files that are kept beside `path`, by number, and how many bytes each takes with its companions.
fn all_quarantined(path: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!("{}{QUARANTINED}", path.file_name().unwrap_or_default().to_string_lossy());
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(number) = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if let Ok(number) = number.parse::<u64>() {
            let bytes: &mut u64 = found.entry(number).or_default();
            *bytes = bytes.saturating_add(length(&entry.path()));
        }
    }
    Ok(found)
}

/// How many bytes the damaged files take that are kept beside `path`.
pub(in super::super) fn quarantined_bytes(path: &Path) -> u64 {
    all_quarantined(path).map_or(0, |found| found.values().fold(0, |sum, bytes| sum.saturating_add(*bytes)))
}

/// Removes the oldest of the damaged files that are too many, or take too much: a disk that fails would add one at each
/// start. Best effort.
pub(super) fn remove_oldest_quarantined(path: &Path) {
    let found = all_quarantined(path).unwrap_or_default();
    let kept = how_many_are_kept(found.values().rev().copied());
    for number in found.into_keys().rev().skip(kept) {
        let name = name_of_quarantined(path, number);
        tracing::warn!("there are many damaged outboxes, and {} is removed", name.display());
        for companion in QUARANTINED_WITH {
            let _ = remove(&beside(&name, companion));
        }
    }
}

/// How many damaged files are kept, whose bytes these are from the newest on.
fn how_many_are_kept(bytes: impl Iterator<Item = u64>) -> usize {
    let mut sum = 0_u64;
    let is_kept = |(index, bytes): &(usize, u64)| {
        sum = sum.saturating_add(*bytes);
        *index == 0 || (*index < QUARANTINED_KEPT && sum <= QUARANTINED_BYTES_KEPT)
    };
    bytes.enumerate().take_while(is_kept).count()
}

/// Removes what an interrupted recovery left under this name.
pub(super) fn remove_leftover(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let leftover = beside(path, suffix);
    remove(&leftover)?;
    for companion in COMPANIONS {
        remove(&beside(&leftover, companion))?;
    }
    Ok(leftover)
}

/// Copies block by block; a block that the disk cannot read becomes zeros.
fn copy_readable(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut copy) = (File::open(from)?, owner_lock::open_private(to)?);
    let length = source.metadata()?.len();
    copy.set_len(length)?;
    let (mut at, mut block) = (0_u64, [0; BLOCK]);
    while at < length {
        let room = usize::try_from(length - at).unwrap_or(BLOCK).min(BLOCK);
        source.seek(SeekFrom::Start(at))?;
        if source.read_exact(&mut block[..room]).is_ok() {
            copy.seek(SeekFrom::Start(at))?;
            copy.write_all(&block[..room])?;
        }
        at += room as u64;
    }
    copy.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_damaged_files_are_kept_as_far_as_they_are_few_and_small() {
        let gib = QUARANTINED_BYTES_KEPT;
        for (bytes, kept) in [
            (&[][..], 0),
            (&[1; 9], 4),
            (&[2 * gib, 1], 1),
            (&[1, gib - 1, 1, 1], 2),
            (&[u64::MAX, u64::MAX], 1),
        ] {
            assert_eq!(how_many_are_kept(bytes.iter().copied()), kept, "{bytes:?}");
        }
    }
}
