//! Why something waits.

use serde::Serialize;

/// Why a lane waits or a row is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A short code: an SQLSTATE, a PostgREST code, an HTTP status, or one of Levi's own words.
    pub code: String,
    /// One line for people. It contains no plaintext, key or token.
    pub detail: String,
}
