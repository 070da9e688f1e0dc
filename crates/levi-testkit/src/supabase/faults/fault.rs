//! What can go wrong with a request.

use std::time::Duration;

#[cfg(doc)]
use super::Faults;
use crate::supabase::http::Response;

/// A fault of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request is not executed. This is the answer.
    Answer(Canned),
    /// The request is executed, and this is the answer, as when a proxy gives up on a slow
    /// database.
    AnswerAfterWrite(Canned),
    /// The connection is reset before the request is executed.
    ResetBeforeWrite,
    /// The connection is reset after the request was executed, without an answer.
    ResetAfterWrite,
    /// The request is executed and answered after [`Faults::release`]. If the client closes the
    /// connection before, it is not executed.
    StallBeforeWrite,
    /// The request is executed at once and answered after [`Faults::release`].
    StallAfterWrite,
    /// The real answer, with a reset after some of its bytes.
    ResetInAnswer {
        /// Bytes sent before the reset, including the head.
        after_bytes: usize,
    },
    /// The real answer, with an orderly close after some of its bytes.
    Truncated {
        /// Bytes sent before the close, including the head.
        after_bytes: usize,
    },
    /// The real answer with a wrong Content-Length, then a close.
    WrongContentLength {
        /// Added to the real length.
        off_by: i64,
    },
    /// The request is executed. These bytes are sent instead of HTTP, then the connection is
    /// closed.
    Garbage(Vec<u8>),
    /// The real answer, one byte at a time.
    Trickle {
        /// The pause before each byte.
        pause: Duration,
    },
    /// The request is executed. The answer has status 200 and a body that ends when the client
    /// closes the connection.
    EndlessBody,
    /// The real answer after this delay, in addition to [`Faults::latency`].
    Delay(Duration),
}

/// What is wrong with every answer to a GET of rows, until [`Faults::clear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadFault {
    /// A read of more rows than this runs into the statement timeout (57014).
    TimesOutAbove {
        /// The most rows that are read in time.
        rows: usize,
    },
    /// `gt` filters are ignored, so that no cursor gets past the first rows.
    IgnoresCursor,
    /// `limit` is ignored.
    IgnoresLimit,
    /// Rows are sorted the wrong way round.
    SortsBackwards,
    /// Every row is there twice.
    RepeatsRows,
}

impl ReadFault {
    /// The query as the faulty server understands it.
    pub(crate) fn twist(self, query: &str) -> String {
        let kept = |pair: &&str| match self {
            Self::IgnoresCursor => !pair.contains("=gt."),
            Self::IgnoresLimit => !pair.starts_with("limit="),
            _ => true,
        };
        let twisted = |pair: &str| match self {
            Self::SortsBackwards if pair.starts_with("order=") => format!("{pair}.desc"),
            _ => pair.to_owned(),
        };
        query.split('&').filter(kept).map(twisted).collect::<Vec<_>>().join("&")
    }
}

/// A predefined answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned(pub(crate) Response);

impl Canned {
    /// An answer with this status and no body.
    pub const fn new(status: u16) -> Self {
        Self(Response::empty(status))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name.to_owned(), value))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// An error as PostgREST sends it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "code": code, "details": null, "hint": null, "message": message });
        Self(Response::json(status, body.to_string().into_bytes()))
    }

    /// The HTML page of an edge proxy whose project does not answer.
    pub fn bad_gateway_page() -> Self {
        let page = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
                    <body><center><h1>502 Bad Gateway</h1></center><hr><center>edge</center></body></html>\n";
        Self::new(502).header("Content-Type", "text/html; charset=UTF-8").body(page)
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).header("Location", location)
    }
}
