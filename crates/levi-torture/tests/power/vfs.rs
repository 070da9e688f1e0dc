//! The recording disk as SQLite's file layer (VFS). It is the default of this process, so Levi uses
//! it unchanged.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use sqlite_vfs::wip::{WalIndex, WalIndexLock};
use sqlite_vfs::{DatabaseHandle, LockKind, OpenAccess, OpenOptions, Vfs};

use super::disk::{Folder, Operation};

/// Every folder of this process, by its path.
static FOLDERS: Mutex<Option<HashMap<String, Folder>>> = Mutex::new(None);

/// Makes SQLite in this process write to folders in memory.
pub fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| sqlite_vfs::register("power", Power, true).unwrap());
}

/// Puts a folder at `path`, replacing what is there.
pub fn put(path: &Path, folder: Folder) {
    folders().get_or_insert_default().insert(path.to_str().unwrap().to_owned(), folder);
}

/// Removes the folder at `path`.
pub fn forget(path: &Path) {
    folders().get_or_insert_default().remove(path.to_str().unwrap());
}

/// Every operation on the folder at `path` so far.
pub fn log(path: &Path) -> Vec<Operation> {
    with(path.to_str().unwrap(), |folder| folder.log.clone())
}

/// The number of operations on the folder at `path` so far.
pub fn progress(path: &Path) -> usize {
    with(path.to_str().unwrap(), |folder| folder.log.len())
}

fn folders() -> MutexGuard<'static, Option<HashMap<String, Folder>>> {
    FOLDERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn with<T>(path: &str, work: impl FnOnce(&mut Folder) -> T) -> T {
    work(folders().get_or_insert_default().entry(path.to_owned()).or_default())
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

struct Power;

impl Vfs for Power {
    type Handle = File;

    fn open(&self, path: &str, options: OpenOptions) -> Result<File, Error> {
        let (folder, name) = split(path);
        let inode = with(folder, |files| match (files.find(name), options.access) {
            (Some(inode), _) => Ok(inode),
            (None, OpenAccess::Read) => Err(Error::from(ErrorKind::NotFound)),
            // Levi makes an empty database by itself, on the true disk, before SQLite opens it.
            (None, _) => Ok(files.create(name)),
        })?;
        Ok(File { folder: folder.to_owned(), inode, lock: LockKind::None })
    }

    fn delete(&self, path: &str) -> Result<(), Error> {
        let (folder, name) = split(path);
        with(folder, |files| match files.find(name) {
            Some(_) => {
                files.perform(Operation::Remove(name.to_owned()));
                Ok(())
            }
            None => Err(Error::from(ErrorKind::NotFound)),
        })
    }

    fn exists(&self, path: &str) -> Result<bool, Error> {
        let (folder, name) = split(path);
        Ok(with(folder, |files| files.find(name).is_some()))
    }

    fn temporary_name(&self) -> String {
        "/power/temporary".to_owned()
    }

    fn random(&self, buffer: &mut [i8]) {
        // The log's salt: any numbers do, as long as they differ from one log to the next.
        for (place, byte) in buffer.iter_mut().enumerate() {
            *byte = (place as i8).wrapping_mul(31).wrapping_add(7);
        }
    }

    fn sleep(&self, duration: Duration) -> Duration {
        duration
    }
}

/// An open file. There is one connection at a time, so locks always succeed.
struct File {
    folder: String,
    inode: usize,
    lock: LockKind,
}

impl DatabaseHandle for File {
    type WalIndex = Index;

    fn size(&self) -> Result<u64, Error> {
        Ok(with(&self.folder, |files| files.content(self.inode).len() as u64))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let offset = usize::try_from(offset).unwrap();
        with(&self.folder, |files| {
            let content = files.content(self.inode);
            let there = content.get(offset..).unwrap_or(&[]);
            let length = there.len().min(buffer.len());
            buffer[..length].copy_from_slice(&there[..length]);
            buffer[length..].fill(0);
            if length == buffer.len() { Ok(()) } else { Err(Error::from(ErrorKind::UnexpectedEof)) }
        })
    }

    fn write_all_at(&mut self, data: &[u8], offset: u64) -> Result<(), Error> {
        let offset = usize::try_from(offset).unwrap();
        with(&self.folder, |files| files.perform(Operation::Write(self.inode, offset, data.to_vec())));
        Ok(())
    }

    fn sync(&mut self, _data_only: bool) -> Result<(), Error> {
        with(&self.folder, |files| files.perform(Operation::Sync(self.inode)));
        Ok(())
    }

    fn set_len(&mut self, size: u64) -> Result<(), Error> {
        let size = usize::try_from(size).unwrap();
        with(&self.folder, |files| files.perform(Operation::Truncate(self.inode, size)));
        Ok(())
    }

    fn lock(&mut self, lock: LockKind) -> Result<bool, Error> {
        self.lock = lock;
        Ok(true)
    }

    fn reserved(&mut self) -> Result<bool, Error> {
        Ok(matches!(self.lock, LockKind::Reserved | LockKind::Pending | LockKind::Exclusive))
    }

    fn current_lock(&self) -> Result<LockKind, Error> {
        Ok(self.lock)
    }

    fn wal_index(&self, _readonly: bool) -> Result<Index, Error> {
        Ok(Index)
    }
}

/// The memory that SQLite shares among connections, of which there is one here.
struct Index;

impl WalIndex for Index {
    fn map(&mut self, _region: u32) -> Result<[u8; 32768], Error> {
        Ok([0; 32768])
    }

    fn lock(&mut self, _locks: Range<u8>, _lock: WalIndexLock) -> Result<bool, Error> {
        Ok(true)
    }

    fn delete(self) -> Result<(), Error> {
        Ok(())
    }
}
