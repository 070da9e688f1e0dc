//! What ureq reports, as an [`ApiError`].

use std::io::ErrorKind;

use ureq::Error;

use crate::api_error::{ApiError, Verdict};
use crate::classify::one_line;

/// The part of the exchange that failed.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Up to the end of the response's head.
    Request,
    /// The response's body.
    Body,
}

/// No readable response. The text is ureq's or the system's; neither contains the token or the key.
pub(super) fn no_response(error: &Error, phase: Phase) -> ApiError {
    let verdict = match error {
        Error::BodyExceedsLimit(_) => Verdict::ResponseTooLarge,
        _ => Verdict::Unreachable,
    };
    ApiError::new(verdict, code(error, phase), one_line(&[&error.to_string()]))
}

/// A request that could not be sent, for a reason of this process.
pub(super) fn unsent(code: &str, text: &str) -> ApiError {
    ApiError::new(Verdict::Unreachable, code, one_line(&[text]))
}

fn code(error: &Error, phase: Phase) -> &'static str {
    match error {
        Error::Timeout(_) => "timeout",
        Error::HostNotFound => "dns",
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => "connect",
        Error::TlsRequired => "tls",
        Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => "too_long",
        Error::BodyStalled => "truncated",
        Error::Protocol(_) | Error::Http(_) => match phase {
            Phase::Request => "bad_response",
            Phase::Body => "truncated",
        },
        Error::Io(error) => io_code(error, phase),
        _ => "io",
    }
}

fn io_code(error: &std::io::Error, phase: Phase) -> &'static str {
    match (error.kind(), phase) {
        (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => "timeout",
        (ErrorKind::UnexpectedEof, Phase::Body) => "truncated",
        (
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof,
            _,
        ) => "reset",
        (
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable,
            _,
        ) => "connect",
        // rustls reports a failed handshake, a wrong certificate included, as invalid data.
        (ErrorKind::InvalidData, _) => "tls",
        // Name resolution has no `ErrorKind`; the text is the standard library's. Only the code
        // shown depends on it.
        _ if error.to_string().contains("lookup address") => "dns",
        _ => "io",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_that_a_loopback_socket_cannot_cause() {
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        let table = [
            (Error::HostNotFound, "dns"),
            (Error::Io(lookup), "dns"),
            (Error::Io(ErrorKind::NetworkUnreachable.into()), "connect"),
            (Error::Io(ErrorKind::InvalidData.into()), "tls"),
            (Error::TlsRequired, "tls"),
            (Error::LargeResponseHeader(2, 1), "too_long"),
            (Error::Io(ErrorKind::PermissionDenied.into()), "io"),
        ];
        for (error, expected) in table {
            let found = no_response(&error, Phase::Request);
            assert_eq!((found.verdict, found.code.as_str()), (Verdict::Unreachable, expected), "{error}");
        }
    }
}
