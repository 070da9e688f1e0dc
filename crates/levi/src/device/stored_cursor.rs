//! The cursor of a program that follows, in the folder of its device.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use levi_core::ChangeCursor;
use levi_store::private_files;

use super::error::DeviceError;

/// Where one program is in the change feed, as its device's folder remembers it. While it exists,
/// no other program, nor another part of this one, can have it: two that follow by one cursor would
/// skip what the other has read.
#[derive(Debug)]
pub struct StoredCursor {
    path: PathBuf,
    /// Held until this is dropped, or the process ends.
    _lock: File,
}

impl StoredCursor {
    pub(super) fn open(folder: &Path, name: &str) -> Result<Self, DeviceError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(DeviceError::CursorName);
        }
        let file = |path: PathBuf| move |source| DeviceError::File { path, source };
        private_files::create_folder(folder).map_err(file(folder.to_owned()))?;
        let lock_path = folder.join(format!(".{name}.lock"));
        let opened = private_files::options().create(true).truncate(false).open(&lock_path);
        let lock = opened.map_err(file(lock_path.clone()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: folder.join(name), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DeviceError::CursorInUse { name: name.to_owned() }),
            Err(TryLockError::Error(source)) => Err(DeviceError::File { path: lock_path, source }),
        }
    }

    /// The cursor that was stored last; `None` before the first.
    ///
    /// # Errors
    /// [`DeviceError::CursorFile`] if it is not the text of a cursor, [`DeviceError::File`]
    pub fn load(&self) -> Result<Option<ChangeCursor>, DeviceError> {
        let path = self.path.clone();
        match fs::read_to_string(&path) {
            Ok(text) => text.parse().map(Some).map_err(|_| DeviceError::CursorFile { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DeviceError::File { path, source }),
        }
    }

    /// Stores a cursor, after what was delivered with it is done with.
    ///
    /// # Errors
    /// [`DeviceError::File`]
    pub fn save(&self, cursor: &ChangeCursor) -> Result<(), DeviceError> {
        let text = cursor.to_string();
        private_files::replace(&self.path, text.as_bytes())
            .map_err(|source| DeviceError::File { path: self.path.clone(), source })
    }
}
