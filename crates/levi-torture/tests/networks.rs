//! Networks that fail, over real sockets. After each fault the message is on the server once and in its place, and
//! no fault is waited out longer than a timeout.
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

/// Far from what a request or an answer is here, in bytes: where a sweep that does not end has failed.
const FAR: u64 = 5_000;

fn messages() -> Scope {
    Scope::table(Table::Messages)
}

/// From the first byte of the head to the last of the body.
#[tokio::test]
async fn a_reset_at_any_byte_of_the_request_loses_nothing() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    synced(&levi, &daemon.enqueue(&levi, 1, 300).await.unwrap()).await;
    let mut place = 1;
    for byte in 1..FAR {
        let before = daemon.scene.server.faults().fired();
        daemon.scene.server.faults().reset_in_request(byte);
        place += 1;
        synced(&levi, &daemon.enqueue(&levi, place, 300).await.unwrap()).await;
        if daemon.scene.server.faults().fired() == before {
            break;
        }
    }
    println!("{} places in a request", place - 2);
    assert!((600..4_000).contains(&place), "the sweep went past the end of a request of about a kilobyte");
    assert_eq!(daemon.delivered(), (1..=place).collect::<Vec<_>>());
    assert_eq!(levi.status().totals.parked_rows, 0);
}

/// A reset, and an orderly end, after each byte of the answer.
#[tokio::test]
async fn an_answer_that_breaks_off_at_any_byte_loses_nothing() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    let mut place = 0;
    for cut in [(|after_bytes| Fault::ResetInAnswer { after_bytes }) as fn(usize) -> Fault, |after_bytes| {
        Fault::Truncated { after_bytes }
    }] {
        // The answer of the stand-in to an upsert is a head of less than this.
        for byte in 0..260 {
            daemon.scene.server.faults().plan(messages(), Times::Next(1), cut(byte));
            place += 1;
            synced(&levi, &daemon.enqueue(&levi, place, 50).await.unwrap()).await;
        }
    }
    assert_eq!(daemon.delivered(), (1..=place).collect::<Vec<_>>());
    assert!(daemon.scene.server.messages_rewritten() > 200, "an answer that broke off was asked for again");
    assert_eq!(levi.status().totals.parked_rows, 0);
}

/// Faults that last as long as they like: each is given up by itself, and what was meant to be sent is sent.
#[tokio::test]
async fn stalls_trickles_lies_garbage_redirects_and_pages_of_proxies_lose_nothing() {
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
    let mut http = daemon.scene.http();
    (http.timeouts.response, http.timeouts.total) = (Duration::from_millis(150), Duration::from_millis(300));
    let levi = daemon.start(daemon.builder_for(http));
    for (fault, place) in faults.iter().zip(1..) {
        let before = daemon.scene.server.faults().fired();
        daemon.scene.server.faults().plan(messages(), Times::Next(2), fault.clone());
        synced(&levi, &daemon.enqueue(&levi, place, 300).await.unwrap()).await;
        assert!(daemon.scene.server.faults().fired() > before, "{fault:?}");
        assert_eq!(daemon.delivered(), (1..=place).collect::<Vec<_>>(), "{fault:?}");
        assert_eq!(levi.status().totals.parked_rows, 0, "{fault:?}");
        // What is left of the plan, where the fault let the first request through.
        daemon.scene.server.faults().clear();
        daemon.scene.server.faults().release();
    }
}

/// Bodies without end, one after another: what is read of each is bounded, and so is what is kept.
#[tokio::test]
async fn endless_answers_do_not_fill_the_memory() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    synced(&levi, &daemon.enqueue(&levi, 1, 300).await.unwrap()).await;
    let before = memory::present_bytes();
    daemon.scene.server.faults().plan(messages(), Times::Next(20), Fault::EndlessBody);
    synced(&levi, &daemon.enqueue(&levi, 2, 300).await.unwrap()).await;
    assert!(daemon.scene.server.faults().fired() >= 20);
    if let (Some(before), Some(peak)) = (before, memory::peak_bytes()) {
        let grown = peak.saturating_sub(before);
        println!("{} KiB more at most, after 20 endless bodies", grown >> 10);
        // One request at a time after a failure, its body of 8 MiB at most, doubled as it grows; other tests of
        // this file run beside it.
        assert!(grown < 64 << 20, "{grown} bytes more");
    }
    assert_eq!(daemon.delivered(), [1, 2]);
}

/// A server with a certificate that nobody vouches for. It tells what it could read.
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
    let (saw, seen) = channel();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream.unwrap());
            let mut read = Vec::new();
            // Ends with the client's alert.
            let _ = tls.read_to_end(&mut read);
            if saw.send(read).is_err() {
                return;
            }
        }
    });
    (port, seen)
}

#[tokio::test]
async fn a_server_with_a_certificate_that_does_not_fit_gets_nothing() {
    let daemon = Daemon::new().await;
    let (port, seen) = impostor();
    let options =
        HttpOptions::new(format!("https://localhost:{port}"), daemon.scene.server.publishable_key());
    let levi = daemon.start(daemon.builder_for(options));
    daemon.enqueue(&levi, 1, 300).await.unwrap();
    let status = until(&levi, |status| status.batches_failed >= 3).await;
    assert_eq!(status.last_error.unwrap().code, "tls");
    assert_eq!(status.totals.pending_rows, 1);
    assert_eq!(seen.recv().unwrap(), b"", "no token, no message");
    levi.shutdown(Duration::ZERO).await;

    let levi = daemon.start(daemon.builder());
    until(&levi, |status| status.totals.pending_rows == 0).await;
    assert_eq!(daemon.delivered(), [1]);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_and_a_name_that_does_not_resolve_lose_nothing() {
    let daemon = Daemon::new().await;
    let plain = daemon.scene.server.url().replace("http://", "https://");
    for (address, codes) in [(plain.as_str(), ["tls", "reset"]), ("https://levi.invalid", ["dns", "timeout"])]
    {
        let options = HttpOptions::new(address, daemon.scene.server.publishable_key());
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

/// With delays of an hour, nothing but the call can make it try.
#[tokio::test]
async fn when_the_network_is_back_levi_tries_at_once() {
    let daemon = Daemon::new().await;
    let hour = Duration::from_secs(3600);
    let config = LeviConfig { backoff_base: hour, backoff_max: hour, ..daemon.config() };
    let levi = daemon.start(daemon.builder().config(config));
    daemon.scene.server.go_down();
    let receipt = daemon.enqueue(&levi, 1, 300).await.unwrap();
    until(&levi, |status| status.batches_failed == 1 && status.rows_in_flight == 0).await;
    // Still down: it is tried, and waits for another hour.
    levi.network_changed();
    until(&levi, |status| status.batches_failed == 2 && status.rows_in_flight == 0).await;
    daemon.scene.server.come_up().unwrap();
    levi.network_changed();
    synced(&levi, &receipt).await;
    assert_eq!(daemon.delivered(), [1]);
}
