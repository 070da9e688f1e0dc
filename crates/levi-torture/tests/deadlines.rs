//! After a deadline nothing of Levi's keeps the process alive. The tests measure how long it takes
//! to drop a runtime, with servers that never end a request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;
mod hanging;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use daemon::{Daemon, until};
use hanging::{HangingCredentials, HangingStore, StoreCall};
use levi::{DevicePrivateKey, HttpOptions, Levi};
use levi_testkit::fixtures::uuid_of;
use socket2::{Domain, Socket, Type};

const DEADLINE: Duration = Duration::from_millis(300);

/// Far below what a request may take by itself (5 s to connect, 15 s for a response), far above the
/// deadline.
const SOON: Duration = Duration::from_secs(4);

/// For an event that happens unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that does `what` with each connection until the client closes it, and the connections
/// that were closed.
fn server(what: fn(&mut TcpStream)) -> (SocketAddr, Receiver<()>) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, closed) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || {
                what(&mut stream);
                let mut rest = [0; 4096];
                while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
                let _ = sender.send(());
            });
        }
    });
    (address, closed)
}

/// Shuts a Levi down whose request is in flight, drops its runtime, and returns how long both took.
fn shut_down(scheme: &str, address: SocketAddr) -> Duration {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = runtime.block_on(Daemon::new());
    let options = HttpOptions::new(
        format!("{scheme}://localhost:{}", address.port()),
        daemon.environment.server.publishable_key(),
    );
    let levi = runtime.block_on(async {
        let levi = daemon.start(daemon.builder_for(options));
        daemon.enqueue(&levi, 1, 300).await.unwrap();
        until(&levi, |status| status.requests_in_flight > 0).await;
        levi
    });
    end(runtime, levi)
}

/// Shuts a Levi down that has one message, drops its runtime, and returns how long both took. On a
/// thread of its own, because a test that fails here would not end.
fn end(runtime: tokio::runtime::Runtime, levi: Levi) -> Duration {
    let (ended, end) = channel();
    std::thread::spawn(move || {
        let start = Instant::now();
        let left = runtime.block_on(levi.shutdown(DEADLINE));
        assert_eq!((left.pending, left.parked), (1, 0), "the message is still in the outbox");
        drop(levi);
        drop(runtime);
        ended.send(start.elapsed()).unwrap();
    });
    end.recv_timeout(PATIENCE).unwrap_or(PATIENCE)
}

/// How long it takes to shut down what `start` returns, and to drop its runtime. On a thread of its own, because a test that
/// fails here would not end.
fn time_to_end(start: impl FnOnce() -> (tokio::runtime::Runtime, Levi) + Send + 'static) -> Duration {
    let (ended, end) = channel();
    std::thread::spawn(move || {
        let (runtime, levi) = start();
        let started = Instant::now();
        runtime.block_on(levi.shutdown(DEADLINE));
        drop(levi);
        drop(runtime);
        ended.send(started.elapsed()).unwrap();
    });
    end.recv_timeout(PATIENCE).unwrap_or(PATIENCE)
}

#[test]
fn a_server_that_never_ends_a_request_does_not_hold_the_process() {
    let trickle = |stream: &mut TcpStream| {
        let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
        let mut some = [0; 4096];
        while !matches!(stream.read(&mut some), Ok(0)) && stream.write_all(b"H").is_ok() {}
    };
    for (name, scheme, what) in [
        ("never answers", "http", (|_| {}) as fn(&mut TcpStream)),
        ("trickles", "http", trickle),
        ("never completes the TLS handshake", "https", |_| {}),
    ] {
        let (address, closed) = server(what);
        let took = shut_down(scheme, address);
        assert!(took < SOON, "{name}: {took:?}");
        closed.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name}: the connection stays open"));
    }
}

/// A connection that nobody accepts cannot be cut short, but nobody waits for it either.
#[test]
fn a_server_that_takes_no_connection_does_not_hold_the_process() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // They fill the queue: the system drops what comes after them.
    let fill = |_| TcpStream::connect_timeout(&address, Duration::from_millis(50));
    let waiting: Vec<_> = (0..8).map_while(|number| fill(number).ok()).collect();
    let took = shut_down("http", address);
    assert!(took < SOON, "{took:?} with {} connections before it", waiting.len());
}

/// A keychain that asks a person who is not there.
#[test]
fn a_keychain_that_hangs_does_not_hold_the_process() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = runtime.block_on(Daemon::new());
    let credentials = HangingCredentials::new(daemon.credentials());
    let levi = runtime.block_on(async {
        let levi = daemon.start(daemon.builder().credentials(credentials.clone()));
        daemon.enqueue(&levi, 1, 300).await.unwrap();
        credentials.hangs().await;
        levi
    });
    let took = end(runtime, levi);
    assert!(took < SOON, "{took:?}");
}

/// The engine thread waits for the store, and the shutdown does not wait for the thread.
#[test]
fn a_session_store_that_hangs_does_not_hold_the_process() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let daemon = runtime.block_on(Daemon::new());
    let store = HangingStore::new(daemon.store(), StoreCall::Record);
    let levi = runtime.block_on(async {
        let levi = daemon.start(daemon.builder_with(daemon.environment.http(), store.clone()));
        daemon.enqueue(&levi, 1, 300).await.unwrap();
        store.hangs().await;
        levi
    });
    let took = end(runtime, levi);
    assert!(took < SOON, "{took:?}");
}

/// Session sync asks the store on the runtime's only thread.
#[test]
fn a_session_store_that_hangs_in_session_sync_holds_neither_messages_nor_the_process() {
    let took = time_to_end(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let daemon = runtime.block_on(Daemon::new());
        let store = HangingStore::new(daemon.store(), StoreCall::Repository);
        let device = uuid_of("device", "torture");
        let levi = runtime.block_on(async {
            let levi = daemon.start(daemon.builder_with(daemon.environment.http(), store.clone()));
            let key = DevicePrivateKey::from_bytes([9; 32]);
            let service = levi.session_sync(device.as_str().into(), key).unwrap();
            tokio::spawn(async move {
                service.sync_repository(&uuid_of("repository", "one").as_str().into()).await
            });
            store.hangs().await;
            let receipt = daemon.enqueue(&levi, 1, 300).await.unwrap();
            daemon::synced(&levi, &receipt).await;
            levi
        });
        (runtime, levi)
    });
    assert!(took < SOON, "{took:?}");
}

/// The store is told who signs in, and what was enqueued does not wait for its answer.
#[test]
fn a_session_store_that_hangs_at_a_sign_in_holds_neither_messages_nor_the_process() {
    let took = time_to_end(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let daemon = runtime.block_on(Daemon::new());
        let store = HangingStore::new(daemon.store(), StoreCall::SignedIn);
        let levi = runtime.block_on(async {
            let levi = daemon.start(daemon.builder_with(daemon.environment.http(), store.clone()));
            store.hangs().await;
            let receipt = daemon.enqueue(&levi, 1, 300).await.unwrap();
            daemon::synced(&levi, &receipt).await;
            levi
        });
        (runtime, levi)
    });
    assert!(took < SOON, "{took:?}");
}
