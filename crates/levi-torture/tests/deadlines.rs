//! At the end of a deadline nothing of Levi's holds the process: measured around a runtime that is dropped, against
//! servers that never end a request.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use daemon::{Daemon, until};
use levi::transport::HttpSupabase;
use levi::types::{CredentialName, CredentialsError, SecretString};
use levi::{Credentials, DevicePrivateKey, HttpOptions, SecretsCache, SessionSyncService};
use levi_torture::content::secret_of;
use socket2::{Domain, Socket, Type};

const DEADLINE: Duration = Duration::from_millis(300);

/// Far below what a request may take by itself (5 s to connect, 15 s for a response), far above the deadline.
const SOON: Duration = Duration::from_secs(4);

/// For an event that comes unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that does `what` with each connection until the client closes it, and the connections that were closed.
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
    let start = Instant::now();
    let left = runtime.block_on(levi.shutdown(DEADLINE));
    assert_eq!((left.pending, left.parked), (1, 0), "the message is still in the outbox");
    drop(levi);
    drop(runtime);
    start.elapsed()
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
struct SilentKeychain;

impl Credentials for SilentKeychain {
    fn load(&self, _: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        loop {
            std::thread::park();
        }
    }

    fn save(&self, _: &CredentialName, _: &SecretString) -> Result<(), CredentialsError> {
        Ok(())
    }

    fn remove(&self, _: &CredentialName) -> Result<(), CredentialsError> {
        Ok(())
    }
}

#[test]
fn a_keychain_that_never_answers_holds_neither_a_task_nor_the_process() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let daemon = runtime.block_on(Daemon::new());
    let keychain = Arc::new(SilentKeychain);
    let start = Instant::now();
    let levi = runtime.block_on(async {
        let levi = daemon.start(daemon.builder().credentials(keychain.clone()));
        daemon.enqueue(&levi, 1, 300).await.unwrap();
        levi
    });
    // Its session sync waits for the keychain, and the only worker of the runtime goes on.
    let (supabase, store) = (HttpSupabase::new(&daemon.environment.http()).unwrap(), daemon.store());
    let key = DevicePrivateKey::generate(&mut rand::rng());
    let device = "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03".into();
    let cache = SecretsCache::new();
    let sync = SessionSyncService::new(Arc::new(supabase), store, keychain, device, key, cache);
    let session = daemon.session.clone();
    let secret = secret_of(&session).unwrap();
    let waits = runtime.spawn(async move { sync.distribute_secret_now(&session, &secret).await });
    let goes_on = runtime.spawn(async {});
    runtime.block_on(async { tokio::time::timeout(PATIENCE, goes_on).await }).unwrap().unwrap();
    assert!(!waits.is_finished(), "the keychain says nothing");
    let left = runtime.block_on(levi.shutdown(DEADLINE));
    assert_eq!((left.pending, left.parked), (1, 0));
    drop(levi);
    drop(runtime);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}
