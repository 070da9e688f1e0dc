//! The doorbell beside an outbox: whoever wrote there tells the Levi that owns it, which so need not look.
//!
//! A datagram socket in the file system, that only those reach who may enter the folder. What is sent means nothing;
//! that something came is all. Where there are no such sockets, or no room for one (their paths are short), a change
//! is noticed when Levi wakes up next.

use std::io;
use std::path::{Path, PathBuf};

/// Rings at the outbox at `path`, after something was written there from outside its owner: rows by
/// [`enqueue_in`](crate::enqueue_in) in another process, or changes by hand through a [`Guest`](crate::Guest).
///
/// # Errors
/// Nobody hears it: no Levi owns this outbox now, or it hung up no bell.
pub fn ring(outbox: &Path) -> io::Result<()> {
    door::ring(&path(outbox))
}

/// A bell that hangs as long as this lives.
pub(crate) struct Bell {
    _door: door::Door,
}

impl Bell {
    /// Calls `heard` for every ring, on a thread of its own that sleeps in between. The caller owns the outbox, so
    /// an older bell is nobody's.
    pub(crate) fn hang(outbox: &Path, heard: impl Fn() + Send + 'static) -> io::Result<Self> {
        Ok(Self { _door: door::Door::open(path(outbox), heard)? })
    }
}

fn path(outbox: &Path) -> PathBuf {
    let mut name = outbox.as_os_str().to_owned();
    name.push(".bell");
    PathBuf::from(name)
}

#[cfg(unix)]
mod door {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixDatagram;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    pub(super) struct Door {
        path: PathBuf,
        /// Which file was made there: another Levi may have hung its own since.
        made: (u64, u64),
        closed: Arc<AtomicBool>,
    }

    impl Door {
        pub(super) fn open(path: PathBuf, heard: impl Fn() + Send + 'static) -> io::Result<Self> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixDatagram::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            let made = identity(&path)?;
            let closed = Arc::new(AtomicBool::new(false));
            let door = Self { path, made, closed: Arc::clone(&closed) };
            let listen = move || {
                loop {
                    match socket.recv(&mut [0; 1]) {
                        Ok(_) if !closed.load(Ordering::Acquire) => heard(),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        _ => return,
                    }
                }
            };
            thread::Builder::new().name("levi-bell".into()).spawn(listen)?;
            Ok(door)
        }
    }

    impl Drop for Door {
        fn drop(&mut self) {
            self.closed.store(true, Ordering::Release);
            // If the socket is gone from its place the thread sleeps on, and costs nothing.
            if identity(&self.path).is_ok_and(|found| found == self.made) {
                let _ = ring(&self.path);
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let found = fs::symlink_metadata(path)?;
        Ok((found.dev(), found.ino()))
    }

    pub(super) fn ring(path: &Path) -> io::Result<()> {
        let caller = UnixDatagram::unbound()?;
        // A bell that is rung already is not waited for.
        caller.set_nonblocking(true)?;
        match caller.send_to(&[0], path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }
}

#[cfg(not(unix))]
mod door {
    use std::io;
    use std::path::{Path, PathBuf};

    pub(super) struct Door;

    impl Door {
        pub(super) fn open(_: PathBuf, _: impl Fn() + Send + 'static) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(super) fn ring(_: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
