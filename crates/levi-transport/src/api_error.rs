//! Why a request to a Supabase project failed, and what that means for the caller.

use std::fmt;
use std::time::Duration;

/// What a failed request means. `docs/protocol.md`, *Verdicts*, has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// No response, or an unreadable one; the write may have happened.
    Unreachable,
    /// The server or the database is overloaded, restarting or out of a resource.
    Busy,
    /// The access token is missing, expired or revoked.
    SignedOut,
    /// Row level security refused at least one row.
    Forbidden,
    /// A row references a session, repository or device that the server does not have.
    MissingParent,
    /// Two rows of the batch had the same key.
    DuplicateInBatch,
    /// At least one row is invalid in itself.
    Rejected,
    /// A table or column is missing: the project has not been set up for this version.
    SchemaMismatch,
    /// The project is read-only, restricted or paused.
    ProjectUnavailable,
    /// The request's body was too large.
    TooLarge,
    /// The response is longer than `HttpOptions::max_response_bytes`. A read can ask for fewer
    /// rows.
    ResponseTooLarge,
    /// A response that the table does not list; handled as `Busy`.
    Unexpected,
}

// Each question names every verdict, so that the compiler demands an answer for a new one.
impl Verdict {
    /// Whether a row of the request is the reason: the others may be accepted without it.
    pub const fn blames_rows(self) -> bool {
        match self {
            Self::Forbidden
            | Self::MissingParent
            | Self::DuplicateInBatch
            | Self::Rejected
            | Self::TooLarge => true,
            Self::Unreachable
            | Self::Busy
            | Self::SignedOut
            | Self::SchemaMismatch
            | Self::ProjectUnavailable
            | Self::ResponseTooLarge
            | Self::Unexpected => false,
        }
    }

    /// Whether the same request may succeed later although nobody changes the request or the
    /// project's tables.
    pub const fn is_passing(self) -> bool {
        match self {
            Self::Unreachable
            | Self::Busy
            | Self::SignedOut
            | Self::ProjectUnavailable
            | Self::Unexpected => true,
            Self::Forbidden
            | Self::MissingParent
            | Self::DuplicateInBatch
            | Self::Rejected
            | Self::SchemaMismatch
            | Self::TooLarge
            | Self::ResponseTooLarge => false,
        }
    }
}

impl fmt::Display for Verdict {
    /// The meaning in a few words, for people. Does not describe the rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the server cannot be reached, or its answer cannot be read",
            Self::Busy => "the server is busy",
            Self::SignedOut => "the server does not accept the access token",
            Self::Forbidden => "row level security refuses a row",
            Self::MissingParent => "the server does not have a row that is referred to",
            Self::DuplicateInBatch => "two rows have the same key",
            Self::Rejected => "the server refuses a row",
            Self::SchemaMismatch => "the project has not been set up for this version",
            Self::ProjectUnavailable => "the project is paused, restricted or read-only",
            Self::TooLarge => "the request is too large",
            Self::ResponseTooLarge => "the answer is too long",
            Self::Unexpected => "the server gives an answer that is not known",
        })
    }
}

/// Why a request failed. Holds no token and no message content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{verdict} ({code}): {detail}")]
#[non_exhaustive]
pub struct ApiError {
    /// What the failure means.
    pub verdict: Verdict,
    /// The body's `code` (SQLSTATE or `PGRST...`), else the HTTP status, else a word such as
    /// `timeout`.
    pub code: String,
    /// One line, at most 300 characters: the server's message and details, or the I/O error.
    pub detail: String,
    /// How long the server asked the caller to wait (`Retry-After`), at most one hour.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// The text for people if the sign-in server answered this, or did not answer.
    pub(crate) fn of_sign_in_server(&self) -> String {
        let Self { code, detail, .. } = self;
        match self.verdict {
            Verdict::Unreachable => format!(
                "the sign-in server cannot be reached, or its answer cannot be read ({code}: {detail}); check the \
                 project's address and the network"
            ),
            verdict => format!("the sign-in server cannot be used now: {verdict} ({code}): {detail}"),
        }
    }

    /// An error without a requested wait.
    pub fn new(verdict: Verdict, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { verdict, code: code.into(), detail: detail.into(), retry_after: None }
    }

    /// Whether another row has the value of a unique key (23505).
    pub fn is_unique_violation(&self) -> bool {
        self.code == "23505"
    }

    /// Whether the server limits how many requests it takes (429), whatever is in them.
    pub fn is_rate_limit(&self) -> bool {
        self.code == "429"
    }

    /// Whether the table lacks a column that the request names (42703).
    pub fn is_missing_column(&self) -> bool {
        self.code == "42703"
    }

    /// Sets the wait that the server asked for.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}
