//! The files of a salvage and their names.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::{failure, owner};
use crate::error::OutboxError;

/// The copy that is read, so that not even SQLite's own recovery touches the original.
pub(super) const READING: &str = ".reading";
/// The fresh outbox while it is being filled.
pub(super) const SALVAGING: &str = ".salvaging";
/// The fresh outbox when it is whole.
const SALVAGED: &str = ".salvaged";
/// Says that damage was met since the file was last looked through.
const SUSPECT: &str = ".suspect";

/// What SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Bytes copied at once, and lost at once where the disk cannot read them.
const BLOCK: usize = 4096;

/// A file beside the database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Bytes in a file; none for one that is not there.
pub(super) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Damage was met: the next opening looks through the whole file. That it is said is worth no error.
pub(in super::super) fn mark_suspect(path: &Path) {
    let _ = owner::open_private(&beside(path, SUSPECT));
}

pub(super) fn is_suspect(path: &Path) -> bool {
    beside(path, SUSPECT).exists()
}

pub(super) fn clear_suspicion(path: &Path) {
    let _ = fs::remove_file(beside(path, SUSPECT));
}

/// Goes on with a salvage that was interrupted after its point of no return: the old files have their other names
/// already, and the fresh outbox takes their place.
pub(in super::super) fn finish(path: &Path) -> Result<(), OutboxError> {
    let fresh = beside(path, SALVAGED);
    if !fresh.exists() {
        return Ok(());
    }
    let replace = || {
        // Before the rename: SQLite would apply the old log to the fresh database.
        for companion in COMPANIONS {
            remove(&beside(path, companion))?;
        }
        sync_folder(path)?;
        fs::rename(&fresh, path)?;
        clear_suspicion(path);
        sync_folder(path)
    };
    replace().map_err(|error| failure::from_io(error, path))
}

/// The fresh outbox is whole: from here on the salvage is finished, now or by the next opening.
pub(super) fn replace(path: &Path, fresh: &Path) -> io::Result<()> {
    fs::rename(fresh, beside(path, SALVAGED))?;
    sync_folder(path)
}

/// Gives the damaged files another name, besides the one that they have. No byte is changed.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let free = |aside: &PathBuf| !aside.exists() && !beside(aside, "-wal").exists();
    let names = (1_u32..).map(|number| beside(path, &format!(".damaged-{number}")));
    let aside = names.into_iter().find(free).ok_or(ErrorKind::AlreadyExists)?;
    for companion in ["", "-wal", "-journal"] {
        let (from, to) = (beside(path, companion), beside(&aside, companion));
        if from.exists() && fs::hard_link(&from, &to).is_err() {
            // A file system without hard links.
            copy_readable(&from, &to)?;
        }
    }
    sync_folder(path)?;
    Ok(aside)
}

/// Copies the database and what SQLite would take into account with it.
pub(super) fn copy_for_reading(path: &Path) -> io::Result<PathBuf> {
    let copy = clear(path, READING)?;
    for companion in ["", "-wal", "-journal"] {
        let from = beside(path, companion);
        if from.exists() {
            copy_readable(&from, &beside(&copy, companion))?;
        }
    }
    Ok(copy)
}

/// Removes what an interrupted salvage left under this name.
pub(super) fn clear(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let leftover = beside(path, suffix);
    remove(&leftover)?;
    for companion in COMPANIONS {
        remove(&beside(&leftover, companion))?;
    }
    Ok(leftover)
}

/// Copies block by block; a block that the disk cannot read is left as zeros.
fn copy_readable(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut copy) = (File::open(from)?, owner::open_private(to)?);
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

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Folders cannot be synced there; renames go through the file system's journal.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
