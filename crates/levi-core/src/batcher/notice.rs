//! What the batcher tells people: log lines, and why nothing is being sent.

use std::time::Duration;

use levi_outbox::{Reason, RowKind};
use levi_transport::ApiError;
use serde::Serialize;

/// An event for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Sending stopped for now.
    Paused(PauseReason),
    /// Sending resumed after a pause for this reason.
    Resumed(PauseReason),
    /// A batch was split to find the row or session at fault.
    Split {
        /// The number of rows in the batch.
        rows: usize,
        /// The server's code.
        code: String,
    },
    /// The server saw two rows with the same key in one batch, which the batcher never builds.
    DuplicateInBatch,
    /// A lane waits.
    Delayed {
        /// The delay, jitter included.
        delay: Duration,
        /// The code of the failure.
        code: String,
    },
}

/// Why nothing is being sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseReason {
    /// Nobody is signed in; `set_context` resumes.
    SignedOut,
    /// The token does not say whose it is (it is no JWT with a `sub`), so that nothing can be sent with it.
    UnknownUser,
    /// A fresh token is being asked for.
    Refreshing,
    /// No fresh token for now, because the keychain is locked, or because the sign-in server does not
    /// answer, or answers with anything but the end of the sign-in. Levi asks again by itself.
    SignInUnavailable,
    /// The project refuses a token that nobody took away: one that was granted a moment ago, or one that
    /// the daemon brought and only the daemon can replace. Levi uses it again by itself.
    TokenNotAccepted,
    /// The project refuses everything: a missing table, read-only, paused, or every row refused alike.
    Project {
        /// The server's code.
        code: String,
        /// The server's message.
        detail: String,
    },
    /// The server asked for a pause (`Retry-After`).
    RetryAfter {
        /// The server's code.
        code: String,
    },
    /// The outbox cannot be read or written.
    Outbox {
        /// A word for the failure, such as `disk_full`.
        code: String,
    },
}

impl PauseReason {
    /// Whether the pause ends only when something outside changes, or after a backoff that may be long.
    pub(crate) const fn is_lasting(&self) -> bool {
        !matches!(self, Self::Refreshing)
    }

    /// The pause as a code and a line for people.
    pub fn to_reason(&self) -> Reason {
        let (code, detail) = match self {
            Self::SignedOut => ("signed_out".into(), "nobody is signed in".into()),
            Self::UnknownUser => ("unknown_user".into(), "the access token does not say whose it is".into()),
            Self::Refreshing => ("refreshing".into(), "waiting for a fresh token".into()),
            Self::SignInUnavailable => {
                ("sign_in_unavailable".into(), "waiting for the sign-in server or the keychain".into())
            }
            Self::TokenNotAccepted => {
                ("token_not_accepted".into(), "waiting for the project to accept the token".into())
            }
            Self::Project { code, detail } => (code.clone(), detail.clone()),
            Self::RetryAfter { code } => (code.clone(), "the server asked for a pause".into()),
            Self::Outbox { code } => (code.clone(), "the outbox cannot be used now".into()),
        };
        Reason { code, detail }
    }
}

/// The error as it is stored. The server's message about a control row stays out of disk and log, because
/// it quotes the row, and so paths and names.
pub(super) fn reason(kind: RowKind, error: &ApiError) -> Reason {
    let detail = if kind.is_control() { error.verdict.to_string() } else { error.detail.clone() };
    Reason { code: error.code.clone(), detail }
}
