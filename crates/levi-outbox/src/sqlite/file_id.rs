//! Which file a path leads to, to notice that it was moved or replaced.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::failure;
use crate::error::OutboxError;

/// The identity of a file, which a rename does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that `path` leads to now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { device: found.dev(), inode: found.ino() })
    }

    /// SQLite goes on writing to a file that was deleted or moved while it was open. Rows written
    /// there would be lost when the process ends, so the commit is refused.
    pub(super) fn check(self, path: &Path) -> Result<(), OutboxError> {
        if Self::of(path).ok() == Some(self) {
            return Ok(());
        }
        Err(failure::cannot_open("the file was moved or deleted while it was open", path))
    }
}
