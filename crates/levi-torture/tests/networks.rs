//! Networks that fail, over real sockets. After each fault the message is on the server, once and
//! in order, and no fault takes longer than a timeout.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use daemon::{Daemon, synced, until};
use levi::{HttpOptions, LeviConfig};
use levi_testkit::supabase::{Canned, Fault, Scope, Times};
use levi_torture::memory;
use levi_transport::Table;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// More bytes than a request has here. A sweep that gets this far has failed.
const SWEEP_LIMIT: u64 = 5_000;

fn messages() -> Scope {
    Scope::table(Table::Messages)
}

/// From the first byte of the head to the last byte of the body.
#[tokio::test]
async fn a_reset_at_any_byte_of_the_request_loses_nothing() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    synced(&levi, &daemon.enqueue(&levi, 1, 300).await.unwrap()).await;
    let mut number = 1;
    for byte in 1..SWEEP_LIMIT {
        let before = daemon.environment.server.faults().fired();
        daemon.environment.server.faults().reset_in_request(byte);
        number += 1;
        synced(&levi, &daemon.enqueue(&levi, number, 300).await.unwrap()).await;
        if daemon.environment.server.faults().fired() == before {
            break;
        }
    }
    println!("{} positions in a request", number - 2);
    assert!((600..4_000).contains(&number), "the sweep went past the end of a request of about a kilobyte");
    assert_eq!(daemon.delivered(), (1..=number).collect::<Vec<_>>());
    assert_eq!(levi.status().totals.parked_rows, 0);
}

/// A reset, and an orderly close, after each byte of the answer.
#[tokio::test]
async fn an_answer_that_breaks_off_at_any_byte_loses_nothing() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    let mut number = 0;
    for cut in [(|after_bytes| Fault::ResetInAnswer { after_bytes }) as fn(usize) -> Fault, |after_bytes| {
        Fault::Truncated { after_bytes }
    }] {
        // The answer to an upsert is a head of fewer bytes.
        for byte in 0..260 {
            daemon.environment.server.faults().plan(messages(), Times::Next(1), cut(byte));
            number += 1;
            synced(&levi, &daemon.enqueue(&levi, number, 50).await.unwrap()).await;
        }
    }
    assert_eq!(daemon.delivered(), (1..=number).collect::<Vec<_>>());
    assert!(
        daemon.environment.server.messages_rewritten() > 200,
        "an answer that broke off was asked for again"
    );
    assert_eq!(levi.status().totals.parked_rows, 0);
}

/// Faults that never end by themselves: Levi gives each request up after a timeout, and the message
/// arrives later.
#[tokio::test]
async fn stalls_trickles_wrong_lengths_garbage_redirects_and_proxy_pages_lose_nothing() {
    let login =
        "<!DOCTYPE html><html><body><form action='/login'>Welcome to the airport</form></body></html>";
    let portal = |status| Canned::new(status).header("Content-Type", "text/html; charset=utf-8").body(login);
    let faults = [
        Fault::StallBeforeWrite,
        Fault::StallAfterWrite,
        Fault::Trickle { pause: Duration::from_millis(40) },
        Fault::WrongContentLength { off_by: 1_000 },
        Fault::WrongContentLength { off_by: -1 },
        Fault::Garbage(b"\0\xff\xfe this is not HTTP\r\n\r\n".to_vec()),
        Fault::Garbage(Vec::new()),
        Fault::Garbage(vec![b'x'; 1 << 20]),
        Fault::Answer(Canned::redirect(301, "https://example.org/login")),
        Fault::Answer(Canned::redirect(307, "http://127.0.0.1:9/")),
        Fault::Answer(Canned::redirect(308, "/rest/v1/elsewhere")),
        Fault::Answer(portal(200)),
        Fault::Answer(portal(511)),
        Fault::Answer(Canned::bad_gateway_page()),
        Fault::AnswerAfterWrite(Canned::bad_gateway_page()),
        Fault::Answer(Canned::new(407)),
        Fault::ResetBeforeWrite,
        Fault::ResetAfterWrite,
        Fault::EndlessBody,
    ];
    let daemon = Daemon::new().await;
    let mut http = daemon.environment.http();
    (http.timeouts.response, http.timeouts.stall) = (Duration::from_millis(150), Duration::from_millis(150));
    let levi = daemon.start(daemon.builder_for(http));
    for (fault, number) in faults.iter().zip(1..) {
        let before = daemon.environment.server.faults().fired();
        daemon.environment.server.faults().plan(messages(), Times::Next(2), fault.clone());
        synced(&levi, &daemon.enqueue(&levi, number, 300).await.unwrap()).await;
        assert!(daemon.environment.server.faults().fired() > before, "{fault:?}");
        assert_eq!(daemon.delivered(), (1..=number).collect::<Vec<_>>(), "{fault:?}");
        assert_eq!(levi.status().totals.parked_rows, 0, "{fault:?}");
        // A fault that let the first request through leaves a planned one behind.
        daemon.environment.server.faults().clear();
        daemon.environment.server.faults().release();
    }
}

/// Endless bodies one after another: how much of each is read is bounded, and so is what is kept.
#[tokio::test]
async fn endless_answers_do_not_fill_the_memory() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    synced(&levi, &daemon.enqueue(&levi, 1, 300).await.unwrap()).await;
    let before = memory::resident_bytes();
    daemon.environment.server.faults().plan(messages(), Times::Next(20), Fault::EndlessBody);
    synced(&levi, &daemon.enqueue(&levi, 2, 300).await.unwrap()).await;
    assert!(daemon.environment.server.faults().fired() >= 20);
    if let (Some(before), Some(peak)) = (before, memory::peak_bytes()) {
        let grown = peak.saturating_sub(before);
        println!("{} KiB more at most, after 20 endless bodies", grown >> 10);
        // After a failure there is one request at a time, with a buffer that doubles up to 8 MiB.
        // Other tests of this file run in the same process.
        assert!(grown < 64 << 20, "{grown} bytes more");
    }
    assert_eq!(daemon.delivered(), [1, 2]);
}

/// A server with a self-signed certificate. The receiver gets what the server could read of each
/// connection.
fn impostor() -> (u16, std::sync::mpsc::Receiver<Vec<u8>>) {
    let certificate = CertificateDer::from(include_bytes!("tls/self-signed.cert.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("tls/self-signed.key.der").to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = channel();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut read = Vec::new();
            // Ends with an error, the client's alert.
            let _ = tls.read_to_end(&mut read);
            if sender.send(read).is_err() {
                return;
            }
        }
    });
    (port, received)
}

#[tokio::test]
async fn a_server_with_an_invalid_certificate_receives_nothing() {
    let daemon = Daemon::new().await;
    let (port, received) = impostor();
    let options =
        HttpOptions::new(format!("https://localhost:{port}"), daemon.environment.server.publishable_key());
    let levi = daemon.start(daemon.builder_for(options));
    daemon.enqueue(&levi, 1, 300).await.unwrap();
    let status = until(&levi, |status| status.batches_failed >= 3).await;
    assert_eq!(status.last_error.unwrap().code, "tls");
    assert_eq!(status.totals.pending_rows, 1);
    assert_eq!(received.recv().unwrap(), b"", "no token, no message");
    levi.shutdown(Duration::ZERO).await;

    let levi = daemon.start(daemon.builder());
    until(&levi, |status| status.totals.pending_rows == 0).await;
    assert_eq!(daemon.delivered(), [1]);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_and_a_name_that_does_not_resolve_lose_nothing() {
    let daemon = Daemon::new().await;
    let plain = daemon.environment.server.url().replace("http://", "https://");
    for (address, codes) in [(plain.as_str(), ["tls", "reset"]), ("https://levi.invalid", ["dns", "timeout"])]
    {
        let options = HttpOptions::new(address, daemon.environment.server.publishable_key());
        let levi = daemon.start(daemon.builder_for(options));
        daemon.enqueue(&levi, 1, 300).await.unwrap();
        let status = until(&levi, |status| status.batches_failed >= 1).await;
        let code = status.last_error.unwrap().code;
        assert!(codes.contains(&code.as_str()), "{address}: {code}");
        let left = levi.shutdown(Duration::ZERO).await;
        assert_eq!((left.pending, left.parked), (1, 0));
    }
    let levi = daemon.start(daemon.builder());
    until(&levi, |status| status.totals.pending_rows == 0).await;
    assert_eq!(daemon.delivered(), [1]);
}

/// With delays of an hour, only `network_changed` can make Levi try again.
#[tokio::test]
async fn when_the_network_is_back_levi_tries_at_once() {
    let daemon = Daemon::new().await;
    let hour = Duration::from_secs(3600);
    let config = LeviConfig { backoff_base: hour, backoff_max: hour, ..daemon.config() };
    let levi = daemon.start(daemon.builder().config(config));
    daemon.environment.server.go_down();
    let receipt = daemon.enqueue(&levi, 1, 300).await.unwrap();
    until(&levi, |status| status.batches_failed == 1 && status.rows_in_flight == 0).await;
    // The server is still down: Levi tries once and waits for another hour.
    levi.network_changed();
    until(&levi, |status| status.batches_failed == 2 && status.rows_in_flight == 0).await;
    daemon.environment.server.come_up().unwrap();
    levi.network_changed();
    synced(&levi, &receipt).await;
    assert_eq!(daemon.delivered(), [1]);
}
