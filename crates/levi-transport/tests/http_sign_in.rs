//! Requests and results of `HttpSignIn`, over real sockets.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod common;

use common::{KEY, Server, Step};
use levi_transport::{HttpSignIn, HttpSupabase, SignIn, SignInError, Tokens, Verdict};
use levi_types::RefreshToken;

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
        (
            "422 Unprocessable",
            r#"{"code":422,"error_code":"validation_failed","msg":"m"}"#,
            "validation_failed",
        ),
    ];
    for (status, body, code) in table {
        assert_eq!(refresh(json(status, body)).await, SignInError::Refused { code: code.to_owned() });
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
            "429",
        ),
        (json("500 Oops", r#"{"code":500,"error_code":"unexpected_failure","msg":"m"}"#), busy, "500"),
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
        let SignInError::Unavailable(error) = error else { panic!("{error:?}") };
        assert_eq!((error.verdict, error.code.as_str()), (verdict, code));
    }
}
