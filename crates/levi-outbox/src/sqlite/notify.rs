//! The wake-up socket.
//!
//! The owner process listens on a Unix datagram socket next to the database, in a file that ends with `.notify`. A
//! process that has written to the outbox sends one datagram, so that the owner never polls. The datagram's content
//! means nothing. On systems without such sockets, and where the path is too long for one, the owner reads the change
//! when it wakes up next.

use std::io;
use std::path::{Path, PathBuf};

use super::open;

/// Notifies the owner of the outbox at `outbox` that another process has written to it:
/// [`enqueue_in`](super::enqueue_in) in a process of its own. ([`OutboxAdmin`](super::OutboxAdmin) does so by itself.)
///
/// # Errors
/// No process listens: none owns this outbox now, or the owner could not create its socket.
pub fn notify_owner(outbox: &Path) -> io::Result<()> {
    socket::send(&socket_path(outbox))
}

/// The owner's side of the socket. Dropping it removes the socket and ends its thread.
#[derive(Debug)]
pub struct Listener {
    _socket: socket::Socket,
}

impl Listener {
    /// Calls `on_notify` after every notification, on a thread that sleeps in between. The caller owns the outbox, so
    /// that a socket file left there by an earlier process may be removed.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub fn bind(outbox: &Path, on_notify: impl Fn() + Send + 'static) -> io::Result<Self> {
        Ok(Self { _socket: socket::Socket::bind(socket_path(outbox), on_notify)? })
    }
}

fn socket_path(outbox: &Path) -> PathBuf {
    let mut name = open::resolve(outbox).unwrap_or_else(|_| outbox.to_owned()).into_os_string();
    name.push(".notify");
    PathBuf::from(name)
}

#[cfg(unix)]
mod socket {
    use std::fs;
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::net::UnixDatagram;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[derive(Debug)]
    pub(super) struct Socket {
        path: PathBuf,
        /// The file that was created, which another owner may have replaced since.
        file: FileId,
        closed: Arc<AtomicBool>,
    }

    impl Socket {
        pub(super) fn bind(path: PathBuf, on_notify: impl Fn() + Send + 'static) -> io::Result<Self> {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let socket = UnixDatagram::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            let file = FileId::of(&path)?;
            let closed = Arc::new(AtomicBool::new(false));
            let bound = Self { path, file, closed: Arc::clone(&closed) };
            let listen = move || {
                loop {
                    match socket.recv(&mut [0; 1]) {
                        Ok(_) if !closed.load(Ordering::Acquire) => on_notify(),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        _ => return,
                    }
                }
            };
            thread::Builder::new().name("levi-notify".into()).spawn(listen)?;
            Ok(bound)
        }
    }

    impl Drop for Socket {
        fn drop(&mut self) {
            self.closed.store(true, Ordering::Release);
            // If the file was removed or replaced, no datagram reaches the thread, which then sleeps on.
            if FileId::of(&self.path).is_ok_and(|found| found == self.file) {
                let _ = send(&self.path);
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct FileId {
        device: u64,
        inode: u64,
    }

    impl FileId {
        fn of(path: &Path) -> io::Result<Self> {
            let found = fs::symlink_metadata(path)?;
            Ok(Self { device: found.dev(), inode: found.ino() })
        }
    }

    pub(super) fn send(path: &Path) -> io::Result<()> {
        let sender = UnixDatagram::unbound()?;
        // A full buffer means that the owner has notifications to read already.
        sender.set_nonblocking(true)?;
        match sender.send_to(&[0], path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent.map(drop),
        }
    }
}

#[cfg(not(unix))]
mod socket {
    use std::io;
    use std::path::{Path, PathBuf};

    #[derive(Debug)]
    pub(super) struct Socket;

    impl Socket {
        pub(super) fn bind(_: PathBuf, _: impl Fn() + Send + 'static) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(super) fn send(_: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::mpsc;

    use super::{Listener, notify_owner};

    #[test]
    fn the_owner_is_notified_until_it_stops_listening() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("outbox.db");
        assert!(notify_owner(&outbox).is_err(), "no process listens yet");
        let (sender, receiver) = mpsc::channel();
        let listener = Listener::bind(&outbox, move || sender.send(()).unwrap()).unwrap();
        notify_owner(&outbox).unwrap();
        receiver.recv().unwrap();
        drop(listener);
        assert!(notify_owner(&outbox).is_err());
        assert!(receiver.recv().is_err(), "the thread has ended");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left");
    }

    #[test]
    fn a_socket_left_by_a_killed_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = folder.path().join("outbox.db");
        let (sender, receiver) = mpsc::channel();
        let first = Listener::bind(&outbox, || ()).unwrap();
        let _second = Listener::bind(&outbox, move || sender.send(()).unwrap()).unwrap();
        drop(first);
        notify_owner(&outbox).unwrap();
        receiver.recv().unwrap();
    }
}
