use super::detail::one_line;
use crate::json::{self, Field};

/// What a body is, whatever the status.
pub(super) enum Reply<'a> {
    Empty,
    Error(ServerError),
    Html,
    /// JSON other than an error object.
    Json,
    /// Anything else, up to the first byte that is not UTF-8.
    Text(&'a str),
}

/// An error object of PostgREST, of the gateway before it, or of GoTrue.
pub(super) struct ServerError {
    /// `code`, if it is text in the form of a code.
    pub(super) code: Option<String>,
    /// Message, details and hint in one line.
    pub(super) detail: String,
}

impl<'a> Reply<'a> {
    pub(super) fn of(content_type: Option<&str>, body: &'a [u8]) -> Self {
        let body = body.trim_ascii();
        let html_type = content_type.is_some_and(|value| {
            let value = value.trim_ascii_start().to_ascii_lowercase();
            value.starts_with("text/html") || value.starts_with("application/xhtml")
        });
        // JSON first, even if the header says HTML: a known code says more than a header.
        match json::fields(body, ServerError::FIELDS) {
            Ok(Some(fields)) if ServerError::is_in(&fields) => Self::Error(ServerError::of(&fields)),
            _ if html_type || body.first() == Some(&b'<') => Self::Html,
            _ if body.is_empty() => Self::Empty,
            Ok(_) => Self::Json,
            Err(_) => Self::Text(text_prefix(body)),
        }
    }
}

impl ServerError {
    const FIELDS: [&'static str; 7] =
        ["code", "message", "msg", "error", "error_description", "details", "hint"];

    fn is_in([code, message, msg, error, ..]: &[Field<'_>; 7]) -> bool {
        [code, message, msg, error].into_iter().any(|field| field.is_there)
    }

    fn of(fields: &[Field<'_>; 7]) -> Self {
        let [code, message, msg, error, description, details, hint] =
            fields.each_ref().map(|field| field.text.as_deref().unwrap_or_default());
        let message = [message, msg, description, error].into_iter().find(|text| !text.is_empty());
        let detail = one_line(&[message.unwrap_or_default(), details, hint]);
        Self { code: is_code(code).then(|| code.to_owned()), detail }
    }
}

/// A code is shown in logs and tables, so only text in the form of a code is used.
fn is_code(code: &str) -> bool {
    (1..=40).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn text_prefix(body: &[u8]) -> &str {
    match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).unwrap_or_default(),
    }
}
