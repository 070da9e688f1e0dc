//! Which process keeps the log from being shortened, as Linux lists the locks of all.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

/// The bytes of the shared memory file of which a reader locks one (SQLite's `WAL_READ_LOCK`).
const READ_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// Another process that reads the database at `path`; `None` where the system does not say.
pub(super) fn find(path: &Path) -> Option<u32> {
    let mut shared_memory = path.as_os_str().to_owned();
    shared_memory.push("-shm");
    // The file is not opened: closing it would let go of this process's own locks on it.
    let inode = inode(&shared_memory)?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    readers(&locks, inode).find(|process| *process != std::process::id())
}

#[cfg(unix)]
fn inode(path: &OsStr) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Some(fs::metadata(path).ok()?.ino())
}

#[cfg(not(unix))]
fn inode(_: &OsStr) -> Option<u64> {
    None
}

/// A line is `1: POSIX  ADVISORY  READ 123 08:01:456 124 124`: the process, the file, and the locked bytes.
fn readers(locks: &str, inode: u64) -> impl Iterator<Item = u32> {
    locks.lines().filter_map(move |line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_shared = fields.next()? == "POSIX" && fields.nth(1)? == "READ";
        let process = fields.next()?.parse().ok()?;
        let is_of_file = fields.next()?.rsplit(':').next()?.parse() == Ok(inode);
        let is_of_reader = READ_LOCKS.contains(&fields.next()?.parse().ok()?);
        (is_shared && is_of_file && is_of_reader).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_told_from_other_locks_and_other_files() {
        let locks = "1: FLOCK  ADVISORY  WRITE 11 fe:00:77 0 EOF\n\
                     2: POSIX  ADVISORY  READ 12 fe:00:77 128 128\n\
                     3: POSIX  ADVISORY  WRITE 13 fe:00:77 124 124\n\
                     3: -> POSIX  ADVISORY  READ 14 fe:00:77 124 124\n\
                     4: POSIX  ADVISORY  READ 15 fe:00:78 124 124\n\
                     5: POSIX  ADVISORY  READ 16 fe:00:77 124 124\n\
                     6: OFDLCK ADVISORY  READ -1 fe:00:77 0 0\n\
                     7: POSIX  ADVISORY  READ 17 fe:00:77 1073741826 1073742335\n";
        assert_eq!(readers(locks, 77).collect::<Vec<_>>(), [16]);
        assert_eq!(readers("", 77).next(), None);
    }
}
