use std::str::{self, FromStr};

use levi_transport::{ResponseHead, classify as classify_response};

use crate::take_line;

/// A response to an upsert: the status, `Retry-After` and `Content-Type` on a line each, then the
/// body.
///
/// The verdict depends on nothing else, and the text for logs is bounded, whatever a server sends.
pub(crate) fn classify(mut input: &[u8]) {
    let status = take_line(&mut input);
    let status = str::from_utf8(status).ok().and_then(|text| u16::from_str(text).ok());
    let [retry_after, content_type] = [0, 1].map(|_| str::from_utf8(take_line(&mut input)).ok());
    let head = ResponseHead {
        retry_after: retry_after.filter(|text| !text.is_empty()),
        // A day in 2026, so that a `Retry-After` can name a date before it and one after it.
        date: Some("Fri, 27 Nov 2026 04:00:00 GMT"),
        content_type: content_type.filter(|text| !text.is_empty()),
    };
    let verdict = classify_response(status.unwrap_or(400), head, input);
    assert_eq!(verdict, classify_response(status.unwrap_or(400), head, input));
    assert!(format!("{verdict:?}").len() < 4_000, "a server decides how much is logged");
}
