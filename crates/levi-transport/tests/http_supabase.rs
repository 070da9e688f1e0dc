//! Requests and results of `HttpSupabase`, over real sockets.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod common;

use std::time::Duration;

use common::{KEY, Server, Step};
use levi_transport::rows::{MessageBatch, encode_message_row};
use levi_transport::{ApiError, HttpSupabase, Select, Supabase, Upsert, Verdict};
use levi_types::AccessToken;

const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl";

fn batch() -> Upsert {
    let mut row = Vec::new();
    encode_message_row(&mut row, &"s-1".into(), 7, b"sealed", b"nonce");
    let mut batch = MessageBatch::new();
    batch.push(&row);
    batch.into_upsert()
}

async fn upsert(supabase: &HttpSupabase) -> Result<(), ApiError> {
    supabase.upsert(&AccessToken::from(TOKEN), batch()).await
}

/// The error that an upsert ends with if the server does `step`.
async fn error_after(step: Step) -> ApiError {
    let server = Server::start(vec![step]);
    let mut options = server.options();
    options.max_response_bytes = 10_000;
    let error = upsert(&HttpSupabase::new(&options).unwrap()).await.unwrap_err();
    assert!(!error.detail.contains(TOKEN) && !error.detail.contains(KEY), "{error:?}");
    error
}

fn json(status: &'static str, body: &str) -> Step {
    Step::Answer(status, &[("content-type", "application/json; charset=utf-8")], body.to_owned())
}

#[tokio::test]
async fn an_upsert_is_this_request() {
    let server = Server::start(vec![Step::Answer("201 Created", &[], String::new())]);
    let supabase = HttpSupabase::new(&server.options()).unwrap();
    assert_eq!(upsert(&supabase).await, Ok(()));

    let seen = server.seen();
    assert_eq!(
        seen.line,
        "POST /rest/v1/agent_coding_session_messages?on_conflict=session_id,sequence_number\
         &columns=session_id,sequence_number,content_encrypted,content_nonce HTTP/1.1"
    );
    assert_eq!(seen.header("apikey"), Some(KEY));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(seen.header("prefer"), Some("resolution=merge-duplicates,return=minimal"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("user-agent"), Some(concat!("levi/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(
        seen.body,
        r#"[{"session_id":"s-1","sequence_number":7,"content_encrypted":"c2VhbGVk","content_nonce":"bm9uY2U="}]"#
    );
}

#[tokio::test]
async fn a_select_is_this_request_and_returns_the_rows_unchanged() {
    let server = Server::start(vec![json("200 OK", " [{\"sequence_number\":9007199254740993}]\n")]);
    let supabase = HttpSupabase::new(&server.options()).unwrap();
    let select = Select::messages_after(&"a/b c".into(), Some(5), 100);
    let body = supabase.select(&TOKEN.into(), select).await.unwrap();
    assert_eq!(body, b" [{\"sequence_number\":9007199254740993}]\n");

    let seen = server.seen();
    assert_eq!(
        seen.line,
        "GET /rest/v1/agent_coding_session_messages?select=sequence_number,content_encrypted,content_nonce\
         &session_id=eq.a%2Fb%20c&sequence_number=gt.5&order=sequence_number&limit=100 HTTP/1.1"
    );
    assert_eq!(seen.header("apikey"), Some(KEY));
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!((seen.header("prefer"), seen.header("content-length")), (None, None));
}

#[tokio::test]
async fn a_select_never_takes_another_body_for_rows() {
    let html = Step::Answer("200 OK", &[("content-type", "text/html")], "<html></html>".to_owned());
    let table = [
        (json("200 OK", "{}"), Verdict::Unreachable, "bad_response"),
        (json("200 OK", ""), Verdict::Unreachable, "bad_response"),
        (html, Verdict::Busy, "html"),
        (
            json("404 Not Found", r#"{"code":"PGRST205","message":"no x"}"#),
            Verdict::SchemaMismatch,
            "PGRST205",
        ),
        (
            json("401 Unauthorized", r#"{"code":"PGRST303","message":"JWT expired"}"#),
            Verdict::SignedOut,
            "PGRST303",
        ),
    ];
    for (step, verdict, code) in table {
        let server = Server::start(vec![step]);
        let supabase = HttpSupabase::new(&server.options()).unwrap();
        let error = supabase.select(&TOKEN.into(), Select::device(&"d".into())).await.unwrap_err();
        assert_eq!((error.verdict, error.code.as_str()), (verdict, code));
    }
}

#[tokio::test]
async fn status_body_and_retry_after_make_the_error() {
    let busy =
        error_after(Step::Answer("503 Service Unavailable", &[("retry-after", "12")], String::new())).await;
    assert_eq!((busy.verdict, busy.retry_after), (Verdict::Busy, Some(Duration::from_secs(12))));

    let date = &[("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")];
    let busy = error_after(Step::Answer("429 Too Many Requests", date, String::new())).await;
    assert_eq!((busy.verdict, busy.retry_after), (Verdict::Busy, Some(Duration::from_secs(3600))));

    let error = error_after(json("409 Conflict", r#"{"code":"23503","message":"no parent"}"#)).await;
    assert_eq!((error.verdict, error.detail.as_str()), (Verdict::MissingParent, "no parent"));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_is_not_followed() {
    let elsewhere = Server::start(vec![Step::Stall]);
    let location = elsewhere.url.clone().leak();
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let headers: &'static [_] = vec![("location", &*location)].leak();
        let error = error_after(Step::Answer(status, headers, String::new())).await;
        assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unexpected, &status[..3]));
    }
    assert!(elsewhere.saw_nothing_else());
}

#[tokio::test]
async fn every_broken_connection_has_its_code() {
    let table = [
        (Step::Reset, "reset"),
        (Step::Raw(b""), "reset"),
        (Step::Raw(b"HTTP/1.1 201 Created\r\ncontent-le"), "reset"),
        (Step::Raw(b"HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n[]"), "truncated"),
        (Step::Raw(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[]"), "truncated"),
        (Step::Raw(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n[]"), "truncated"),
        (Step::Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "bad_response"),
    ];
    for (step, code) in table {
        let error = error_after(step).await;
        assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unreachable, code), "{}", error.detail);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_has_a_verdict_of_its_own() {
    let error = error_after(Step::Endless).await;
    assert_eq!((error.verdict, error.code.as_str()), (Verdict::ResponseTooLarge, "too_long"));
}

#[tokio::test]
async fn no_listener_and_a_listener_without_tls() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = levi_transport::HttpOptions::new(format!("http://{gone}"), KEY);
    assert_eq!(upsert(&HttpSupabase::new(&options).unwrap()).await.unwrap_err().code, "connect");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = listener.accept().unwrap().0;
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0]);
    });
    let options = levi_transport::HttpOptions::new(url, KEY);
    assert_eq!(upsert(&HttpSupabase::new(&options).unwrap()).await.unwrap_err().code, "tls");
}

#[tokio::test]
async fn a_stalled_server_is_a_timeout() {
    let server = Server::start(vec![Step::Stall]);
    let mut options = server.options();
    options.timeouts.response = Duration::from_millis(50);
    let error = upsert(&HttpSupabase::new(&options).unwrap()).await.unwrap_err();
    assert_eq!((error.verdict, error.code.as_str()), (Verdict::Unreachable, "timeout"));
    assert!(error.detail.contains("response"), "not only the total: {}", error.detail);

    // Also if the head arrives in time and the body does not.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options =
        levi_transport::HttpOptions::new(format!("http://{}", listener.local_addr().unwrap()), KEY);
    options.timeouts.response = Duration::from_millis(200);
    options.timeouts.stall = Duration::from_millis(200);
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n[").unwrap();
        while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
    });
    let error = upsert(&HttpSupabase::new(&options).unwrap()).await.unwrap_err();
    assert_eq!(error.code, "timeout");
}

/// After a change of the network the open ones may be dead, and a request on one would wait for
/// nothing.
#[tokio::test]
async fn idle_connections_can_be_closed() {
    let created = || Step::Answer("201 Created", &[], String::new());
    let server = Server::start(vec![created(), created()]);
    let supabase = HttpSupabase::new(&server.options()).unwrap();
    upsert(&supabase).await.unwrap();
    supabase.close_idle();
    upsert(&supabase).await.unwrap();
    assert_ne!(server.seen().connection, server.seen().connection);
}

#[tokio::test]
async fn connections_are_reused() {
    let ok = || Step::Answer("201 Created", &[], String::new());
    let busy = Step::Answer("503 Service Unavailable", &[], "<html>".to_owned());
    let server = Server::start(vec![ok(), busy, ok()]);
    let supabase = HttpSupabase::new(&server.options()).unwrap();
    upsert(&supabase).await.unwrap();
    upsert(&supabase.clone()).await.unwrap_err();
    upsert(&supabase).await.unwrap();
    let connections = [server.seen(), server.seen(), server.seen()].map(|seen| seen.connection);
    assert_eq!(
        connections,
        [0, 0, 0],
        "an error's body is read to its end, so that its connection can go on"
    );
}

#[tokio::test]
async fn nothing_is_sent_with_a_malformed_token() {
    let server = Server::start(vec![Step::Stall]);
    let supabase = HttpSupabase::new(&server.options()).unwrap();
    for token in ["", "two words", "line\r\nx-admin: 1", "nul\0", "\u{e9}", KEY] {
        let error = supabase.upsert(&token.into(), batch()).await.unwrap_err();
        assert_eq!((error.verdict, error.code.as_str()), (Verdict::SignedOut, "bad_token"));
        assert!(token.is_empty() || !error.detail.contains(token));
        let error = supabase.select(&token.into(), Select::device(&"d".into())).await.unwrap_err();
        assert_eq!(error.code, "bad_token");
    }
    assert!(server.saw_nothing_else());
}

#[tokio::test]
async fn a_server_that_echoes_the_request_does_not_get_the_token_into_the_error() {
    for status in ["400 Bad Request", "200 OK"] {
        let echo = format!(r#"{{"code":"ECHO","message":"you sent Bearer {TOKEN} and {KEY}, {KEY}"}}"#);
        let error = error_after(json(status, &echo)).await;
        assert!(error.detail.starts_with("you sent Bearer *****"), "{}", error.detail);
    }
}

#[test]
fn debug_output_shows_neither_key_nor_address() {
    let options = levi_transport::HttpOptions::new("https://user:hunter2@example.com", "sb_secret_hidden");
    let error = HttpSupabase::new(&options).unwrap_err();
    let shown = format!("{options:?} {error:?} {error}");
    assert!(!shown.contains("hunter2") && !shown.contains("hidden"), "{shown}");

    let options = levi_transport::HttpOptions::new("https://example.com", "sb_secret_hidden");
    let error = HttpSupabase::new(&options).unwrap_err();
    assert_eq!(error, levi_transport::HttpConfigError::SecretKey);
    let options = levi_transport::HttpOptions::new("https://example.com", "key\r\nx-admin: 1");
    assert_eq!(HttpSupabase::new(&options).unwrap_err(), levi_transport::HttpConfigError::BadKey);
}
