//! Files and folders that only their owner can read, and that survive power loss.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Creates a folder (0700), and those above it, where they do not exist.
///
/// # Errors
/// The folder cannot be created.
pub fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens for writing. A file that this creates has mode 0600.
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Writes a file so that after a crash it has either its old or its new content.
///
/// # Errors
/// The file cannot be written; its old content stays.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name for each write, because two writers with one name would truncate each other's file.
    let (process, write) = (std::process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
    let fresh = path.with_file_name(format!(".{name}.{process}-{write}.new"));
    let written = options().create(true).truncate(true).open(&fresh).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    });
    if let Err(error) = written {
        // Best effort: an error here must not hide the first one.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    // The rename is durable once the folder is synced.
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes what was created, renamed or removed in a folder survive power loss.
///
/// # Errors
/// The folder cannot be opened or synced.
#[cfg(unix)]
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let named = !path.as_os_str().is_empty();
    File::open(if named { path } else { Path::new(".") })?.sync_all()
}

/// Windows cannot sync folders; the file system's journal makes a rename durable.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
