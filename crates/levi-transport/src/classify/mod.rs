//! From a response to a verdict. Pure: the clock is a parameter, nothing is read or sent.

mod code;
mod culprits;
mod detail;
mod reply;
mod retry_after;
#[cfg(test)]
mod tests;

use levi_types::Wall;

use crate::api_error::{ApiError, Verdict};
use reply::{Reply, ServerError};

pub use culprits::culprits;
pub(crate) use detail::one_line;

/// The headers that have a say in a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// `Retry-After`, as it came.
    pub retry_after: Option<&'a str>,
    /// `Content-Type`, as it came.
    pub content_type: Option<&'a str>,
}

/// What a response to an upsert means: the body's `code` decides, and where that says nothing, the status.
///
/// `docs/protocol.md`, *Verdicts*, has the table; codes are PostgreSQL's (appendix A, *Error Codes*) and
/// PostgREST's (*Errors*). Where the table is silent, the choice is the one that cannot lose or park a good
/// row: `Rejected` only for codes that a row can cause, success only for a 2xx that does not contradict
/// itself (an HTML page, text or half of a JSON value with a 2xx came from something else than PostgREST).
///
/// `now` is for a `Retry-After` that names a date.
///
/// ```
/// use levi_transport::{ResponseHead, Verdict, classify};
/// use levi_types::Wall;
///
/// let body = br#"{"code":"23503","message":"violates foreign key constraint",
///                 "details":"Key (session_id)=(s-1) is not present in table \"agent_coding_sessions\"."}"#;
/// let error = classify(409, ResponseHead::default(), body, Wall::default()).unwrap_err();
/// assert_eq!(error.verdict, Verdict::MissingParent);
/// assert_eq!(error.code, "23503");
/// ```
///
/// # Errors
/// [`ApiError`] for every response that does not say that all rows were written.
pub fn classify(status: u16, head: ResponseHead<'_>, body: &[u8], now: Wall) -> Result<(), ApiError> {
    let success = (200..300).contains(&status);
    let mut error = match Reply::of(head.content_type, body) {
        Reply::Empty | Reply::Json if success => return Ok(()),
        Reply::Error(error) => refused(status, error),
        Reply::Html => html(status),
        Reply::Text(_) if success => {
            let detail = format!("HTTP {status} with a body that is not JSON");
            ApiError::new(Verdict::Unreachable, "bad_response", detail)
        }
        Reply::Text(text) => plain(status, text),
        Reply::Empty | Reply::Json => plain(status, ""),
    };
    error.retry_after = head.retry_after.and_then(|value| retry_after::parse(value, now));
    Err(error)
}

fn refused(status: u16, error: ServerError) -> ApiError {
    let verdict = error.code.as_deref().and_then(|code| code::verdict(code, status));
    let verdict = verdict.unwrap_or_else(|| by_status(status));
    ApiError::new(verdict, error.code.unwrap_or_else(|| status.to_string()), error.detail)
}

/// A page for people comes from something in front of the project, which may have let the write through.
/// Its status is believed only where acting on it cannot hurt.
fn html(status: u16) -> ApiError {
    let verdict = match by_status(status) {
        kept @ (Verdict::TooLarge | Verdict::ProjectUnavailable) => kept,
        _ => Verdict::Busy,
    };
    let code = if (200..300).contains(&status) { "html".to_owned() } else { status.to_string() };
    ApiError::new(
        verdict,
        code,
        format!("HTTP {status} with an HTML page instead of an answer of the project"),
    )
}

fn plain(status: u16, text: &str) -> ApiError {
    let mut detail = format!("HTTP {status}");
    if (300..400).contains(&status) {
        detail.push_str(", a redirect, which is not followed; check the project's address");
    } else if !text.is_empty() {
        detail = one_line(&[&detail, text]);
    }
    ApiError::new(by_status(status), status.to_string(), detail)
}

const fn by_status(status: u16) -> Verdict {
    match status {
        401 => Verdict::SignedOut,
        402 | 540 => Verdict::ProjectUnavailable,
        413 => Verdict::TooLarge,
        408 | 425 | 429 | 500..=599 => Verdict::Busy,
        _ => Verdict::Unexpected,
    }
}
