//! The port: accepts connections, closes, and opens again with the same number.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::connection::Connection;
use super::lock;
use super::server::Server;

const BACKLOG: i32 = 1024;
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(10);

/// A port that is open or closed, and its threads.
pub(crate) struct Listener {
    server: Arc<Server>,
    address: SocketAddr,
    /// Bound and never listening, so that no other program gets the port while it is closed.
    _reserved: Option<Socket>,
    accepting: Mutex<Option<Accepting>>,
}

/// An open port.
struct Accepting {
    closing: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Connections {
    open: Mutex<HashMap<u64, Served>>,
    done: Mutex<Vec<u64>>,
}

struct Served {
    /// Weak, so that a connection closes when its thread ends.
    connection: Weak<Connection>,
    thread: JoinHandle<()>,
}

impl Listener {
    pub(crate) fn start(server: Arc<Server>) -> io::Result<Self> {
        // Only Linux lets two sockets bind to one port if at most one of them listens.
        let (reserved, address) = if cfg!(target_os = "linux") {
            let reserved = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = local_address(&reserved)?;
            (Some(reserved), address)
        } else {
            let probe = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            (None, local_address(&probe)?)
        };
        let listener = Self { server, address, _reserved: reserved, accepting: Mutex::new(None) };
        listener.open()?;
        Ok(listener)
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens the port if it is closed.
    pub(crate) fn open(&self) -> io::Result<()> {
        let mut accepting = lock(&self.accepting);
        if accepting.is_some() {
            return Ok(());
        }
        let socket = bound(self.address)?;
        socket.listen(BACKLOG)?;
        let closing = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Connections::default());
        let thread = std::thread::Builder::new().name("fake-supabase accept".to_owned()).spawn({
            let (server, closing) = (Arc::clone(&self.server), Arc::clone(&closing));
            let connections = Arc::clone(&connections);
            move || accept(&TcpListener::from(socket), &server, &closing, &connections)
        })?;
        *accepting = Some(Accepting { closing, thread, connections });
        Ok(())
    }

    /// Closes the port, resets every connection and joins every thread.
    pub(crate) fn close(&self) {
        let Some(Accepting { closing, thread, connections }) = lock(&self.accepting).take() else { return };
        closing.store(true, Ordering::SeqCst);
        // Wakes `accept`.
        let _ = TcpStream::connect(self.address);
        // A panic of that thread has been printed.
        let _ = thread.join();
        connections.end_all(&self.server);
    }

    /// Resets every open connection and keeps the port open.
    pub(crate) fn reset_connections(&self) {
        if let Some(accepting) = lock(&self.accepting).as_ref() {
            accepting.connections.end_all(&self.server);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("the socket has no IP address"))
}

fn accept(
    listener: &TcpListener,
    server: &Arc<Server>,
    closing: &AtomicBool,
    connections: &Arc<Connections>,
) {
    loop {
        let accepted = listener.accept();
        if closing.load(Ordering::SeqCst) {
            // It may be a client's connection, which must be reset, not closed in order.
            if let Ok((stream, _)) = &accepted {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            return;
        }
        match accepted.and_then(|(stream, _)| Connection::new(stream)) {
            Ok(connection) => connections.serve(connection, server),
            // A connection that failed at once, or a lack of file handles that may pass.
            Err(_) => server.ending.wait(AFTER_FAILED_ACCEPT, || closing.load(Ordering::SeqCst)),
        }
    }
}

impl Connections {
    fn serve(self: &Arc<Self>, connection: Arc<Connection>, server: &Arc<Server>) {
        let mut open = lock(&self.open);
        for done in lock(&self.done).drain(..) {
            if let Some(served) = open.remove(&done) {
                let _ = served.thread.join();
            }
        }
        let id = server.record.connected();
        let weak = Arc::downgrade(&connection);
        let spawned = std::thread::Builder::new().name("fake-supabase".to_owned()).spawn({
            let (server, connections) = (Arc::clone(server), Arc::clone(self));
            move || {
                connection.serve(&server);
                drop(connection);
                lock(&connections.done).push(id);
            }
        });
        // Without a thread the connection is dropped, which closes it.
        if let Ok(thread) = spawned {
            open.insert(id, Served { connection: weak, thread });
        }
    }

    fn end_all(&self, server: &Server) {
        let ended: Vec<_> = lock(&self.open).drain().map(|(_, served)| served).collect();
        for connection in ended.iter().filter_map(|served| served.connection.upgrade()) {
            connection.end();
        }
        server.ending.notify();
        server.faults.released.notify_all();
        for served in ended {
            let _ = served.thread.join();
        }
        lock(&self.done).clear();
    }
}
