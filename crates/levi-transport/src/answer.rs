//! What came back, in words that decide what happens next.

use std::fmt;
use std::time::Duration;

/// What an answer means. `docs/protocol.md`, *Verdicts*, has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// All rows were written.
    Accepted,
    /// No answer, or none that can be read; the write may have happened.
    Unreachable,
    /// Not now.
    Busy {
        /// What `Retry-After` asked for, if it was there.
        retry_after: Option<Duration>,
    },
    /// The token is missing, expired or revoked.
    SignedOut,
    /// Row level security refused at least one row.
    Forbidden,
    /// A row names a session, repository or device that is not there.
    MissingParent,
    /// Two rows of the batch had the same key.
    DuplicateInBatch,
    /// At least one row is bad in itself.
    Rejected,
    /// A table or column is missing: the project has not been set up for this version.
    SchemaMismatch,
    /// Read-only, restricted or paused.
    ProjectUnavailable,
    /// The body was too large.
    TooLarge,
    /// Nothing the table knows; treated as `Busy`.
    Unexpected,
}

/// A verdict with what a person or a log line wants to know. Holds no token and no message content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it means.
    pub verdict: Verdict,
    /// The body's `code` (SQLSTATE or `PGRST...`), else the HTTP status, else a word such as `timeout`.
    pub code: String,
    /// One line, at most 300 characters: the server's message and details, or the I/O error.
    pub detail: String,
}

/// An [`Answer`] that is not `Accepted`, as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub Answer);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { verdict, code, detail } = &self.0;
        write!(f, "{verdict:?} ({code}): {detail}")
    }
}

impl std::error::Error for Failure {}
