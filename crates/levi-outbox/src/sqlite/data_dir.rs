//! The folder in which Levi keeps its outbox by default.

use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};

/// The folder of an outbox in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    path: PathBuf,
    parents: Parents,
}

/// Whether the folders above are created too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parents {
    Create,
    MustExist,
}

impl DataDir {
    /// The folder that the caller names, or [`default`](Self::default) for `None`.
    pub fn new(named: Option<PathBuf>) -> Self {
        match named {
            // The parent folder may be on a disk that is not mounted now, so it is not created.
            Some(path) => Self { path, parents: Parents::MustExist },
            None => Self::default(),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The outbox file in it, `outbox.sqlite`.
    pub fn outbox_path(&self) -> PathBuf {
        self.path.join("outbox.sqlite")
    }

    /// Creates the folder, readable by its owner only, if it does not exist.
    ///
    /// # Errors
    /// The folder cannot be created, or its parent does not exist.
    pub fn create(&self) -> io::Result<()> {
        if self.path.is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(self.parents == Parents::Create);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&self.path) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && self.path.is_dir() => {}
            created => created?,
        }
        sync_parent(&self.path)
    }
}

impl Default for DataDir {
    /// `levi` in the user's data folder, or in the current folder if the user has none.
    fn default() -> Self {
        let path = dirs::data_local_dir().unwrap_or_default().join("levi");
        Self { path, parents: Parents::Create }
    }
}

/// Syncs the folder that `path` is in, so that a new name survives power loss.
#[cfg(unix)]
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Folders cannot be synced there; renames go through the file system's journal.
#[cfg(not(unix))]
pub(super) fn sync_parent(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    #[test]
    fn a_named_folder_is_created_inside_an_existing_one_only() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::new(Some(root.path().join("levi")));
        data.create().unwrap();
        data.create().unwrap();
        assert!(data.path().is_dir());
        assert_eq!(data.outbox_path(), root.path().join("levi").join("outbox.sqlite"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(data.path()).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700);
        }
        let unmounted = DataDir::new(Some(root.path().join("missing").join("levi")));
        assert!(unmounted.create().is_err());
        assert!(!root.path().join("missing").exists());
    }
}
