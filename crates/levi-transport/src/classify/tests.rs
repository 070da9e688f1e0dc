//! The verdict table of `docs/protocol.md`, one recorded body per row and code.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// PostgREST's form of an error.
fn error(code: &str, message: &str, details: &str) -> String {
    format!(r#"{{"code":"{code}","details":{details},"hint":null,"message":"{message}"}}"#)
}

#[track_caller]
fn check(status: u16, body: &str, verdict: Verdict, code: &str) -> ApiError {
    let error = error_of(status, ResponseHead::default(), body.as_bytes());
    assert_eq!((error.verdict, error.code.as_str()), (verdict, code), "{status} {body}");
    error
}

#[track_caller]
fn error_of(status: u16, head: ResponseHead<'_>, body: &[u8]) -> ApiError {
    classify(status, head, body).unwrap_err()
}

#[test]
fn recorded_bodies() {
    use Verdict::*;
    let no = "null";
    let row = r#""Failing row contains (s-1, 1, YQ==, YQ==).""#;
    let parent = r#""Key (session_id)=(s-1) is not present in table \"agent_coding_sessions\".""#;
    #[rustfmt::skip]
    let table = [
        (503, "PGRST000", "Database connection error. Retrying the connection.", no, Busy),
        (503, "PGRST001", "no connection to the server", no, Busy),
        (503, "PGRST002", "Could not query the database for the schema cache. Retrying.", no, Busy),
        (504, "PGRST003", "Timed out acquiring connection from connection pool.", no, Busy),
        (503, "08006", "server closed the connection unexpectedly", no, Busy),
        (500, "40001", "could not serialize access due to concurrent update", no, Busy),
        (500, "40P01", "deadlock detected", no, Busy),
        (503, "53100", "could not extend file: No space left on device", no, Busy),
        (503, "53300", "sorry, too many clients already", no, Busy),
        (500, "55P03", "could not obtain lock on relation", no, Busy),
        (500, "57014", "canceling statement due to statement timeout", no, Busy),
        (503, "57P03", "the database system is starting up", no, Busy),
        (500, "58030", "could not read block", no, Busy),
        (500, "XX000", "internal error", no, Busy),
        (401, "PGRST301", "JWT expired", no, SignedOut),
        (401, "PGRST302", "Anonymous access is disabled", no, SignedOut),
        (401, "PGRST303", "JWT expired", no, SignedOut),
        (401, "42501", "new row violates row-level security policy for table \\\"x\\\"", no, SignedOut),
        (403, "42501", "new row violates row-level security policy for table \\\"x\\\"", no, Forbidden),
        (400, "42501", "permission denied for table x", no, Forbidden),
        (409, "23503", "insert or update violates foreign key constraint", parent, MissingParent),
        (500, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time", no, DuplicateInBatch),
        (400, "21000", "ON CONFLICT DO UPDATE command cannot affect row a second time", no, DuplicateInBatch),
        (400, "22P02", "invalid input syntax for type uuid: \\\"s-1\\\"", no, Rejected),
        (400, "22P05", "unsupported Unicode escape sequence", no, Rejected),
        (400, "22003", "value out of range for type bigint", no, Rejected),
        (400, "22001", "value too long for type character varying(10)", no, Rejected),
        (400, "23502", "null value in column violates not-null constraint", row, Rejected),
        (409, "23505", "duplicate key value violates unique constraint", no, Rejected),
        (400, "23514", "new row violates check constraint", row, Rejected),
        (400, "23P01", "conflicting key value violates exclusion constraint", no, Rejected),
        (400, "44000", "new row violates check option for view", no, Rejected),
        (400, "P0001", "sessions that ended take no messages", no, Rejected),
        (400, "428C9", "cannot insert a non-DEFAULT value into column", no, Rejected),
        (500, "54000", "index row size 2800 exceeds btree version 4 maximum 2704", no, Rejected),
        (400, "PGRST102", "All object keys must match", no, Rejected),
        (400, "PGRST204", "Could not find the 'content_nonce' column of 'x' in the schema cache", no, SchemaMismatch),
        (404, "PGRST205", "Could not find the table 'public.x' in the schema cache", no, SchemaMismatch),
        (406, "PGRST106", "The schema must be one of the following: api", no, SchemaMismatch),
        (404, "42P01", "relation \\\"public.x\\\" does not exist", no, SchemaMismatch),
        (400, "42703", "column \\\"content_nonce\\\" does not exist", no, SchemaMismatch),
        (400, "42P10", "there is no unique or exclusion constraint matching", no, SchemaMismatch),
        (405, "25006", "cannot execute INSERT in a read-only transaction", no, ProjectUnavailable),
        // Known codes count for more than a wrong status, in either direction.
        (200, "23503", "contradicts the status", parent, MissingParent),
        (500, "22P02", "contradicts the status", no, Rejected),
        (401, "22023", "role \\\"gone\\\" does not exist", no, SignedOut),
        // Codes that say nothing about a row leave it to the status.
        (400, "PGRST100", "failed to parse order", no, Unexpected),
        (200, "PGRST999", "contradicts the status", no, Unexpected),
        (500, "42P17", "infinite recursion detected in policy for relation", no, Busy),
        (429, "over_request_rate_limit", "slow down", no, Busy),
        (404, "NOT_FOUND", "Requested function was not found", no, Unexpected),
    ];
    for (status, code, message, details, verdict) in table {
        check(status, &error(code, message, details), verdict, code);
    }
}

#[test]
fn a_status_decides_if_there_is_no_code() {
    use Verdict::*;
    for status in 200..300 {
        for body in ["", "  \r\n"] {
            assert_eq!(classify(status, ResponseHead::default(), body.as_bytes()), Ok(()));
        }
    }
    for status in (300..=599).chain([100, 999]) {
        let expected = match status {
            401 => SignedOut,
            402 | 540 => ProjectUnavailable,
            413 => TooLarge,
            408 | 425 | 429 | 500..=599 => Busy,
            _ => Unexpected,
        };
        check(status, "", expected, &status.to_string());
        check(status, "  \r\n", expected, &status.to_string());
    }
    let error = check(401, r#"{"message":"Invalid API key","hint":"Double check it."}"#, SignedOut, "401");
    assert_eq!(error.detail, "Invalid API key: Double check it.");
    check(400, r#"{"code":400,"msg":"a number is not a code"}"#, Unexpected, "400");
    check(400, r#"{"code":"a sentence, not a code"}"#, Unexpected, "400");
    let error = check(503, "upstream connect error or\ndisconnect", Busy, "503");
    assert_eq!(error.detail, "HTTP 503: upstream connect error or disconnect");
    assert!(check(307, "", Unexpected, "307").detail.contains("redirect"));
}

#[test]
fn html_pages_are_not_taken_for_the_project() {
    let page = "<!DOCTYPE html>\n<html><head><title>example.com | 520: Web server is returning an \
                unknown error</title></head><body>cloudflare</body></html>";
    for status in [200, 201, 400, 401, 403, 404, 409, 500, 502, 503, 520, 522, 525, 526, 530, 544] {
        let code = if status < 300 { "html".to_owned() } else { status.to_string() };
        let error = check(status, page, Verdict::Busy, &code);
        assert!(!error.detail.contains("cloudflare"), "pages are not quoted");
    }
    let nginx = "<html>\r\n<head><title>413 Request Entity Too Large</title></head></html>";
    check(413, nginx, Verdict::TooLarge, "413");
    check(540, page, Verdict::ProjectUnavailable, "540");
    check(402, page, Verdict::ProjectUnavailable, "402");

    let html =
        ResponseHead { content_type: Some("Text/HTML; charset=utf-8"), retry_after: Some("7"), date: None };
    let busy = error_of(200, html, b"");
    assert_eq!((busy.verdict, busy.retry_after), (Verdict::Busy, Some(Duration::from_secs(7))));
    let missing = error_of(409, html, error("23503", "m", "null").as_bytes());
    assert_eq!(missing.verdict, Verdict::MissingParent, "a code counts for more than a content type");
}

#[test]
fn a_2xx_with_another_body_is_not_success() {
    let bad = ["[{\"session_id\":\"s-1\"", "success", "{\"a\":", "\u{feff}[]", "[]]"];
    for body in bad {
        let error = check(201, body, Verdict::Unreachable, "bad_response");
        assert!(!error.detail.contains("s-1"), "rows are not quoted");
    }
    for body in ["[]", "[{\"session_id\":\"s-1\"}]", "null", "{}"] {
        assert_eq!(classify(201, ResponseHead::default(), body.as_bytes()), Ok(()));
    }
    let binary = error_of(200, ResponseHead::default(), b"\x1f\x8b\x08\x00");
    assert_eq!(binary.verdict, Verdict::Unreachable);
}

#[test]
fn every_verdict_carries_the_wait_that_the_server_asks_for() {
    let head = ResponseHead { retry_after: Some("30"), ..ResponseHead::default() };
    let table = [
        (503, error("PGRST002", "m", "null"), Verdict::Busy),
        (429, String::new(), Verdict::Busy),
        (502, "<html>".to_owned(), Verdict::Busy),
        (540, String::new(), Verdict::ProjectUnavailable),
        (403, error("42501", "m", "null"), Verdict::Forbidden),
        (201, "[{".to_owned(), Verdict::Unreachable),
    ];
    for (status, body, verdict) in table {
        let error = error_of(status, head, body.as_bytes());
        assert_eq!((error.verdict, error.retry_after), (verdict, Some(Duration::from_secs(30))), "{body}");
    }
}

#[test]
fn a_date_in_retry_after_is_read_by_the_servers_clock() {
    let head = ResponseHead {
        retry_after: Some("Sun, 06 Nov 1994 08:50:37 GMT"),
        date: Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        content_type: None,
    };
    assert_eq!(error_of(503, head, b"").retry_after, Some(Duration::from_secs(60)));
    assert_eq!(error_of(503, ResponseHead { date: None, ..head }, b"").retry_after, None);
}

#[test]
fn a_schema_mismatch_says_what_the_server_says_is_missing() {
    let body =
        error("PGRST204", "Could not find the 'content_nonce' column of 'x' in the schema cache", "null");
    let error = check(400, &body, Verdict::SchemaMismatch, "PGRST204");
    assert!(error.detail.contains("'content_nonce' column of 'x'"));
}

proptest! {
    #[test]
    fn never_panics_and_accepts_nothing_but_a_2xx(
        status in any::<u16>(),
        code in prop::sample::select(vec!["23503", "22P02", "42501", "PGRST301", "?", "", "08"]),
        message in any::<String>(),
        garbage in any::<Vec<u8>>(),
        retry_after in any::<Option<String>>(),
        date in any::<Option<String>>(),
        content_type in prop::sample::select(vec![None, Some("text/html"), Some("application/json")]),
    ) {
        let head = ResponseHead { retry_after: retry_after.as_deref(), date: date.as_deref(), content_type };
        let json = serde_json::json!({ "code": code, "message": message }).to_string();
        for body in [json.as_bytes(), message.as_bytes(), &garbage, b""] {
            let Err(error) = classify(status, head, body) else {
                prop_assert!((200..300).contains(&status));
                continue;
            };
            prop_assert!(error.detail.chars().count() <= 300);
            prop_assert!(!error.detail.chars().chain(error.code.chars()).any(char::is_control));
            prop_assert!(!error.code.is_empty());
        }
    }
}
