//! Requests and results of `HttpSignIn`, over real sockets.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod common;

use std::time::Duration;

use common::{KEY, Server, Step};
use levi_transport::{HttpSignIn, HttpSupabase, SignIn, SignInError, Tokens, Verdict};
use levi_types::{FinalWord, RefreshToken};

const GRANTED: &str = r#"{"access_token":"acc","token_type":"bearer","expires_in":3600,"expires_at":1,
    "refresh_token":"ref","user":{"id":"u-1","email":"a@example.com"},"weak_password":null}"#;

fn json(status: &'static str, body: &str) -> Step {
    Step::Answer(status, &[("content-type", "application/json")], body.to_owned())
}

#[tokio::test]
async fn both_grants_are_these_requests() {
    let server = Server::start(vec![json("200 OK", GRANTED), json("200 OK", GRANTED)]);
    let sign_in = HttpSupabase::new(&server.options()).unwrap().sign_in();
    let expected = Tokens { access_token: "acc".into(), refresh_token: "ref".into(), user_id: "u-1".into() };

    let password = "pass\"word \u{1F511}".into();
    assert_eq!(sign_in.with_password("a@example.com", &password).await, Ok(expected.clone()));
    let seen = server.seen();
    assert_eq!(seen.line, "POST /auth/v1/token?grant_type=password HTTP/1.1");
    assert_eq!(seen.body, "{\"email\":\"a@example.com\",\"password\":\"pass\\\"word \u{1F511}\"}");
    assert_eq!(seen.header("apikey"), Some(KEY));
    assert_eq!(seen.header("authorization"), None, "the key is never a Bearer");
    assert_eq!(seen.header("content-type"), Some("application/json"));

    assert_eq!(sign_in.refresh(&RefreshToken::from("old")).await, Ok(expected));
    let seen = server.seen();
    assert_eq!(seen.line, "POST /auth/v1/token?grant_type=refresh_token HTTP/1.1");
    assert_eq!(seen.body, r#"{"refresh_token":"old"}"#);
    assert_eq!(seen.connection, 0);
}

async fn refresh(step: Step) -> SignInError {
    let server = Server::start(vec![step]);
    let sign_in = HttpSignIn::new(&server.options()).unwrap();
    sign_in.refresh(&RefreshToken::from("a-refresh-token")).await.unwrap_err()
}

#[tokio::test]
async fn refused_is_what_the_sign_in_server_itself_refuses() {
    let table = [
        (
            "400 Bad Request",
            r#"{"code":400,"error_code":"invalid_credentials","msg":"Invalid login credentials"}"#,
            "invalid_credentials",
        ),
        (
            "400 Bad Request",
            r#"{"code":"refresh_token_already_used","error_code":"refresh_token_already_used"}"#,
            "refresh_token_already_used",
        ),
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Invalid Refresh Token"}"#,
            "invalid_grant",
        ),
        (
            "403 Forbidden",
            r#"{"code":403,"error_code":"session_not_found","msg":"gone"}"#,
            "session_not_found",
        ),
        ("403 Forbidden", r#"{"code":"user_banned","message":"User is banned"}"#, "user_banned"),
    ];
    for (status, body, code) in table {
        assert_eq!(
            refresh(json(status, body)).await,
            SignInError::Refused(FinalWord::from_code(code).unwrap())
        );
    }
}

/// A failing network, proxy or gateway must not end a sign-in.
#[tokio::test]
async fn every_other_error_is_temporary() {
    let page = Step::Answer("403 Forbidden", &[("content-type", "text/html")], "<html></html>".to_owned());
    let busy = Verdict::Busy;
    let table = [
        (json("401 Unauthorized", r#"{"message":"Invalid API key"}"#), Verdict::Unexpected, "401"),
        (
            json("429 Too Many", r#"{"code":429,"error_code":"over_request_rate_limit","msg":"m"}"#),
            busy,
            "over_request_rate_limit",
        ),
        (
            json("500 Oops", r#"{"code":500,"error_code":"unexpected_failure","msg":"m"}"#),
            busy,
            "unexpected_failure",
        ),
        (
            json("422 Oops", r#"{"code":422,"error_code":"hook_timeout","msg":"m"}"#),
            Verdict::Unexpected,
            "hook_timeout",
        ),
        (json("400 Oops", r#"{"error":"server_error"}"#), Verdict::Unexpected, "server_error"),
        (
            json("422 Oops", r#"{"code":422,"error_code":"validation_failed","msg":"m"}"#),
            Verdict::Unexpected,
            "validation_failed",
        ),
        (page, busy, "403"),
        (json("404 Not Found", r#"{"message":"no Route matched"}"#), Verdict::Unexpected, "404"),
        (json("302 Found", ""), Verdict::Unexpected, "302"),
        (json("200 OK", "[]"), Verdict::Unreachable, "bad_response"),
        (json("200 OK", ""), Verdict::Unreachable, "bad_response"),
        (
            json("200 OK", r#"{"access_token":"hidden","refresh_token":"","user":{"id":"u"}}"#),
            Verdict::Unreachable,
            "bad_response",
        ),
        (
            json("200 OK", r#"{"access_token":"hidden","refresh_token":7,"user":{"id":"u"}}"#),
            Verdict::Unreachable,
            "bad_response",
        ),
        (json("502 Bad Gateway", "sent: a-refresh-token"), busy, "502"),
        (Step::Reset, Verdict::Unreachable, "reset"),
    ];
    for (step, verdict, code) in table {
        let error = refresh(step).await;
        assert!(!format!("{error} {error:?}").contains("hidden"));
        assert!(!format!("{error} {error:?}").contains("a-refresh-token"));
        let (SignInError::Unavailable(error) | SignInError::ActionNeeded { error, .. }) = error else {
            panic!("{error:?}")
        };
        assert_eq!((error.verdict, error.code.as_str()), (verdict, code));
    }
}

/// Seconds, or a date, which is read by the server's own clock: this device's is years off.
#[tokio::test]
async fn a_wait_that_the_sign_in_server_asks_for_is_part_of_the_error() {
    type Headers = &'static [(&'static str, &'static str)];
    let table: [(Headers, Option<u64>); 4] = [
        (&[("retry-after", "60")], Some(60)),
        (
            &[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), ("date", "Sun, 06 Nov 1994 08:49:37 GMT")],
            Some(60),
        ),
        (&[("retry-after", "86400")], Some(3_600)),
        (&[], None),
    ];
    for (headers, seconds) in table {
        let error = refresh(Step::Answer("429 Too Many", headers, String::new())).await;
        let SignInError::Unavailable(error) = error else { panic!("{error:?}") };
        assert_eq!(error.retry_after, seconds.map(Duration::from_secs), "{headers:?}");
    }
}
