//! What a server made of a request.

use std::time::Duration;

use levi_core::TakenRow;
use levi_transport::{ApiError, Verdict};

/// The outcome of a request.
pub(crate) struct Served {
    pub(crate) result: Result<(), ApiError>,
    /// The messages whose sequence numbers other texts have, if the request was accepted.
    pub(crate) taken: Vec<TakenRow>,
    /// How much longer than usual the response takes.
    pub(crate) delay: Duration,
}

impl Served {
    pub(crate) fn refused(error: ApiError) -> Self {
        Self { result: Err(error), taken: Vec::new(), delay: Duration::ZERO }
    }
}

pub(crate) fn late(verdict: Verdict, code: &str, delay: Duration) -> Served {
    Served { delay, ..Served::refused(ApiError::new(verdict, code, "")) }
}
