//! Headers that every request carries besides Levi's own.

use ureq::http::{HeaderName, HeaderValue};

use super::options::{HttpConfigError, HttpOptions};

/// Levi, or the protocol, sets these.
const RESERVED: [&str; 19] = [
    "accept",
    "accept-encoding",
    "apikey",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "prefer",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers of `options`, checked.
pub(super) fn parse(options: &HttpOptions) -> Result<Vec<(HeaderName, HeaderValue)>, HttpConfigError> {
    options.headers.iter().map(|(name, value)| header(name, value)).collect()
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HttpConfigError> {
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| HttpConfigError::BadHeader)?;
    if let Some(name) = RESERVED.into_iter().find(|reserved| *reserved == name.as_str()) {
        return Err(HttpConfigError::ReservedHeader { name });
    }
    let value = sensitive(value.trim()).ok_or(HttpConfigError::BadHeader)?;
    Ok((name, value))
}

/// A header value whose `Debug` shows nothing.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_or_refused_by_name() {
        let (name, value) = header(" X-Gateway-Key ", " word ").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-gateway-key", "word"));
        assert!(!format!("{value:?}").contains("word"));
        for name in RESERVED {
            let refused = HttpConfigError::ReservedHeader { name };
            assert_eq!(header(&name.to_uppercase(), "v").unwrap_err(), refused, "{name}");
            assert!(refused.to_string().contains(name));
        }
        for (name, value) in
            [("", "v"), ("two words", "v"), ("x", "line\r\nauthorization: y"), ("x", "nul\0")]
        {
            assert_eq!(header(name, value).unwrap_err(), HttpConfigError::BadHeader);
        }
    }
}
