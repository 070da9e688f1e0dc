//! From a response to a verdict. Pure: no clock is read, nothing is sent.

mod code;
mod detail;
mod offenders;
mod reply;
mod retry_after;
mod sign_in;
#[cfg(test)]
mod tests;

use crate::api_error::{ApiError, Verdict};
use reply::{Reply, ServerError};

pub(crate) use detail::one_line;
pub use offenders::offenders;
#[cfg(feature = "upgrade")]
pub(crate) use retry_after::parse as retry_after;
pub use sign_in::classify_sign_in;

/// The headers that [`classify`] uses, as received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// `Retry-After`: seconds or a date.
    pub retry_after: Option<&'a str>,
    /// `Date`: subtracted from a date in `Retry-After`.
    pub date: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
}

/// What a response to an upsert means: the body's `code` decides or, if it has none that is known,
/// the status.
///
/// `docs/protocol.md`, *Verdicts*, has the table; codes are PostgreSQL's (appendix A, *Error
/// Codes*) and PostgREST's (*Errors*). For responses that the table does not list, the function
/// chooses the verdict that cannot lose or park a good row: `Rejected` only for codes that a row
/// can cause, success only for a 2xx that does not contradict itself. An HTML page, text or half of
/// a JSON value with a 2xx did not come from PostgREST.
///
/// ```
/// use levi_transport::{ResponseHead, Verdict, classify};
///
/// let body = br#"{"code":"23503","message":"violates foreign key constraint",
///                 "details":"Key (session_id)=(s-1) is not present in table \"agent_coding_sessions\"."}"#;
/// let error = classify(409, ResponseHead::default(), body).unwrap_err();
/// assert_eq!(error.verdict, Verdict::MissingParent);
/// assert_eq!(error.code, "23503");
/// ```
///
/// # Errors
/// [`ApiError`] for every response that does not say that all rows were written.
pub fn classify(status: u16, head: ResponseHead<'_>, body: &[u8]) -> Result<(), ApiError> {
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
    error.retry_after = head.retry_after.and_then(|value| retry_after::parse(value, head.date));
    Err(error)
}

fn refused(status: u16, error: ServerError) -> ApiError {
    let verdict = error.code.as_deref().and_then(|code| code::verdict(code, status));
    let verdict = verdict.unwrap_or_else(|| by_status(status));
    ApiError::new(verdict, error.code.unwrap_or_else(|| status.to_string()), error.detail)
}

/// An HTML page comes from a proxy or gateway in front of the project, which may have let the write
/// through. So only a status that cannot do harm is used.
fn html(status: u16) -> ApiError {
    let verdict = match by_status(status) {
        harmless @ (Verdict::TooLarge | Verdict::ProjectUnavailable) => harmless,
        _ => Verdict::Busy,
    };
    let code = if (200..300).contains(&status) { "html".to_owned() } else { status.to_string() };
    ApiError::new(
        verdict,
        code,
        format!("HTTP {status} with an HTML page instead of a response of the project"),
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
