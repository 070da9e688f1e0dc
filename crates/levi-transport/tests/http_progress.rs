//! Slow lines, early answers, cancelled requests and private authorities, over real sockets.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use levi_transport::rows::{MessageBatch, encode_message_row};
use levi_transport::{ApiError, HttpConfigError, HttpOptions, HttpSupabase, Supabase, Upsert, Verdict};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const KEY: &str = "sb_publishable_test_key";
const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl";
const MIB: usize = 1 << 20;
const AUTHORITY: &[u8] = include_bytes!("tls/ca.pem");
/// For what takes a moment, unless the machine is overloaded.
const PATIENCE: Duration = Duration::from_secs(60);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Plain or encrypted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Line {
    Plain,
    Tls,
}

/// A server that does the same on every connection, and the connections that ended.
struct Server {
    options: HttpOptions,
    ended: Receiver<()>,
}

fn serve(line: Line, answer: impl Fn(&mut dyn Stream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, ended) = channel();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, sender) = (Arc::clone(&answer), sender.clone());
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                // Otherwise an answer may wait here for an acknowledgement, and be lost when the
                // connection is closed.
                stream.set_nodelay(true).unwrap();
                match line {
                    Line::Plain => answer(&mut stream),
                    Line::Tls => answer(&mut encrypted(stream)),
                }
                let _ = sender.send(());
            });
        }
    });
    let scheme = if line == Line::Tls { "https" } else { "http" };
    let mut options = HttpOptions::new(format!("{scheme}://localhost:{port}"), KEY);
    options.more_roots = Some(AUTHORITY.to_vec());
    Server { options, ended }
}

fn encrypted(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let certificate = CertificateDer::from(include_bytes!("tls/server.cert.der").to_vec());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("tls/server.key.der").to_vec());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

fn read_head(stream: &mut dyn Stream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn body_length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    line.unwrap().trim().parse().unwrap()
}

fn batch(bytes: usize) -> Upsert {
    let mut row = Vec::new();
    encode_message_row(&mut row, &"s-1".into(), 7, &vec![7; bytes], b"nonce");
    let mut batch = MessageBatch::new();
    batch.push(&row);
    batch.into_upsert()
}

async fn upsert(options: &HttpOptions, bytes: usize) -> Result<(), ApiError> {
    HttpSupabase::new(options).unwrap().upsert(&TOKEN.into(), batch(bytes)).await
}

/// 1 MiB over a line on which no step of the request takes long, and all of it longer than any
/// limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_line_that_moves_is_not_given_up() {
    for line in [Line::Plain, Line::Tls] {
        let mut server = serve(line, |stream| {
            let mut left = body_length(&read_head(stream));
            let mut piece = vec![0; 16 << 10];
            while left > 0 {
                let read = stream.read(&mut piece).unwrap();
                left -= read;
                // The line, not a wait for an event: 16 KiB every 20 ms.
                std::thread::sleep(Duration::from_millis(20) * read as u32 / (16 << 10));
            }
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
        });
        server.options.timeouts.stall = Duration::from_millis(500);
        server.options.timeouts.response = Duration::from_millis(500);
        let start = Instant::now();
        assert_eq!(upsert(&server.options, MIB).await, Ok(()), "{line:?}");
        assert!(start.elapsed() > Duration::from_secs(1), "longer than both limits together");
    }
}

/// A gateway that refuses the size or the rate answers at once and closes with the body unread.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_while_the_body_is_written_is_read() {
    for line in [Line::Plain, Line::Tls] {
        for (head, verdict, wait) in [
            ("413 Content Too Large\r\n", Verdict::TooLarge, None),
            ("429 Too Many Requests\r\nretry-after: 7\r\n", Verdict::Busy, Some(Duration::from_secs(7))),
        ] {
            let server = serve(line, move |stream| {
                read_head(stream);
                let answer = format!("HTTP/1.1 {head}connection: close\r\ncontent-length: 2\r\n\r\nno");
                stream.write_all(answer.as_bytes()).unwrap();
                stream.flush().unwrap();
                // Some of the body, so that more is on its way when the connection is closed.
                stream.read_exact(&mut [0; 64 << 10]).unwrap();
            });
            for _ in 0..5 {
                let error = upsert(&server.options, 8 * MIB).await.unwrap_err();
                assert_eq!((error.verdict, error.retry_after), (verdict, wait), "{line:?}: {error}");
            }
        }
    }
}

/// As the last one, but the connection stays open and nobody reads: found when nothing moves any
/// more.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_read_when_the_server_stops_reading() {
    for line in [Line::Plain, Line::Tls] {
        let (done, wait) = channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let mut server = serve(line, move |stream| {
            read_head(stream);
            stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").unwrap();
            stream.flush().unwrap();
            let _ = wait.lock().unwrap().recv();
        });
        server.options.timeouts.stall = Duration::from_millis(300);
        let error = upsert(&server.options, 32 * MIB).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::TooLarge, "{line:?}: {error}");
        drop(done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_on_which_nothing_moves_and_one_that_trickles_are_given_up() {
    let mut stalled = serve(Line::Plain, |stream| {
        read_head(stream);
        std::thread::park();
    });
    stalled.options.timeouts.stall = Duration::from_millis(200);
    let error = upsert(&stalled.options, 32 * MIB).await.unwrap_err();
    assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unreachable, "timeout"), "{error}");

    let mut trickle = serve(Line::Plain, |stream| {
        let head = read_head(stream);
        stream.read_exact(&mut vec![0; body_length(&head)]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").unwrap();
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    trickle.options.timeouts.stall = Duration::from_millis(300);
    trickle.options.timeouts.response = Duration::from_millis(300);
    let error = upsert(&trickle.options, 10).await.unwrap_err();
    assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unreachable, "timeout"), "{error}");
    trickle.ended.recv_timeout(PATIENCE).unwrap();
}

/// The server sees the connection close, wherever the request was.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_future_is_dropped_closes_its_connection() {
    for (line, step) in
        [(Line::Plain, "read"), (Line::Tls, "read"), (Line::Plain, "write"), (Line::Tls, "handshake")]
    {
        let (reached, at_step) = channel();
        let reached = std::sync::Mutex::new(reached);
        let server_line = if step == "handshake" { Line::Plain } else { line };
        let mut server = serve(server_line, move |stream| {
            if step != "handshake" {
                read_head(stream);
            }
            reached.lock().unwrap().send(()).unwrap();
            if step == "write" {
                // Nothing is read until the client is gone.
                std::thread::park_timeout(Duration::from_secs(2));
            }
            let mut rest = [0; 4096];
            while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
        });
        server.options.api_url =
            server.options.api_url.replace("http://", if line == Line::Tls { "https://" } else { "http://" });
        server.options.timeouts.connect = PATIENCE * 10;
        server.options.timeouts.response = PATIENCE * 10;
        server.options.timeouts.stall = PATIENCE * 10;
        let options = server.options.clone();
        let request = tokio::spawn(async move { upsert(&options, 16 * MIB).await });
        let at_step = tokio::task::spawn_blocking(move || at_step.recv_timeout(PATIENCE));
        at_step.await.unwrap().unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        server.ended.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{line:?} {step} goes on"));
    }
}

/// No runtime waits for a request either.
#[test]
fn a_runtime_that_is_dropped_waits_for_no_request() {
    let server = serve(Line::Plain, |stream| {
        let mut rest = [0; 4096];
        while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
    });
    let mut options = server.options.clone();
    options.timeouts.response = PATIENCE * 10;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let waited = runtime
        .block_on(async { tokio::time::timeout(Duration::from_millis(200), upsert(&options, 10)).await });
    assert!(waited.is_err());
    drop(runtime);
    server.ended.recv_timeout(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_only_if_it_is_given() {
    let ok = |stream: &mut dyn Stream| {
        let head = read_head(stream);
        if !head.is_empty() {
            stream.read_exact(&mut vec![0; body_length(&head)]).unwrap();
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    };
    let server = serve(Line::Tls, ok);
    assert_eq!(upsert(&server.options, 10).await, Ok(()));
    let mut options = server.options.clone();
    options.more_roots = None;
    let unknown = match HttpSupabase::new(&options) {
        Ok(supabase) => supabase.upsert(&TOKEN.into(), batch(10)).await.unwrap_err().code,
        // A system without any certificates.
        Err(error) => {
            assert_eq!(error, HttpConfigError::NoRoots);
            "tls".to_owned()
        }
    };
    assert_eq!(unknown, "tls");
    for nonsense in
        [&b""[..], b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    {
        options.more_roots = Some(nonsense.to_vec());
        assert_eq!(HttpSupabase::new(&options).unwrap_err(), HttpConfigError::BadRoots);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_sent_beside_levis_own_and_never_shown() {
    let (sender, heads) = channel();
    let sender = std::sync::Mutex::new(sender);
    let mut server = serve(Line::Plain, move |stream| {
        let head = read_head(stream);
        stream.read_exact(&mut vec![0; body_length(&head)]).unwrap();
        sender.lock().unwrap().send(head).unwrap();
        let echo = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 20\r\n\r\nno secret-of-gateway";
        stream.write_all(echo).unwrap();
    });
    server.options.headers.push(("X-Gateway".to_owned(), "secret-of-gateway".to_owned()));
    let error = upsert(&server.options, 10).await.unwrap_err();
    assert!(error.detail.contains("no ***"), "a gateway may echo it: {error}");
    let head = heads.recv_timeout(PATIENCE).unwrap();
    assert!(head.contains("x-gateway: secret-of-gateway\r\n"), "{head}");
    assert!(head.contains(&format!("authorization: Bearer {TOKEN}\r\n")) && head.contains(KEY), "{head}");
    assert!(!format!("{:?}", server.options).contains("secret-of"));
    for name in ["apikey", "Authorization", "HOST"] {
        let mut options = server.options.clone();
        options.headers.push((name.to_owned(), "x".to_owned()));
        let refused = HttpSupabase::new(&options).unwrap_err();
        assert!(matches!(refused, HttpConfigError::ReservedHeader { .. }), "{refused}");
    }
}

/// A limit under which every request would fail is a mistake, and no timeout that never passes.
#[test]
fn a_limit_of_zero_is_refused_by_name() {
    type Set = fn(&mut HttpOptions);
    let zero: [(&str, Set); 4] = [
        ("timeouts.connect", |options| options.timeouts.connect = Duration::ZERO),
        ("timeouts.response", |options| options.timeouts.response = Duration::ZERO),
        ("timeouts.stall", |options| options.timeouts.stall = Duration::ZERO),
        ("max_response_bytes", |options| options.max_response_bytes = 0),
    ];
    for (setting, set) in zero {
        let mut options = HttpOptions::new("https://abcd.supabase.co", "sb_publishable_x");
        set(&mut options);
        assert_eq!(HttpSupabase::new(&options).unwrap_err(), HttpConfigError::Zero { setting });
    }
}
