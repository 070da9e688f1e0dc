use std::sync::Arc;
use std::time::Duration;

use levi_types::{AuthError, CredentialsError, FinalWord};

use crate::api_error::{ApiError, Verdict};
use crate::sign_in::SignInError;

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nobody is signed in.
    #[error("nobody is signed in; sign in first")]
    NotSignedIn,
    /// The sign-in server's final word: this sign-in has ended, or the password is wrong.
    #[error("{0}")]
    Refused(FinalWord),
    /// The sign-in server wants something first, and names it. A sign-in that exists is still
    /// valid.
    #[error("the sign-in server refuses for now ({code}): {action}", code = .error.code)]
    ActionNeeded {
        /// The server's answer.
        error: ApiError,
        /// What a person can do.
        action: &'static str,
    },
    /// The sign-in server cannot be used now. The sign-in is still valid.
    #[error("{}", .0.of_sign_in_server())]
    Unavailable(#[source] ApiError),
    /// The credentials store cannot be read.
    #[error("the stored sign-in cannot be read: {0}")]
    Unreadable(#[source] Arc<CredentialsError>),
    /// New tokens could not be stored. They are kept in memory, and the next call stores them.
    #[error("the new sign-in could not be stored and is kept in memory for now: {0}")]
    NotSaved(#[source] Arc<CredentialsError>),
    /// The sign-in could not be removed and is still stored.
    #[error("the stored sign-in could not be removed; sign out again: {0}")]
    NotRemoved(#[source] Arc<CredentialsError>),
}

impl TokenError {
    /// Whether the same call may succeed later without a new sign-in.
    pub const fn is_transient(&self) -> bool {
        !matches!(self, Self::NotSignedIn | Self::Refused(_))
    }

    /// How long the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::ActionNeeded { error, .. } | Self::Unavailable(error) => error.retry_after,
            _ => None,
        }
    }

    /// The runtime stopped, a port panicked or there was no thread, before the call completed.
    pub(super) fn interrupted() -> Self {
        let detail = "the call did not complete; the runtime is shutting down, a port has panicked, or no thread can be started";
        Self::Unavailable(ApiError::new(Verdict::Unreachable, "cancelled", detail))
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NotSignedIn => Self::SignedOut,
            TokenError::Refused(word) => Self::Ended(word),
            other => Self::Unavailable { why: other.to_string(), retry_after: other.retry_after() },
        }
    }
}

impl From<SignInError> for TokenError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused(word) => Self::Refused(word),
            SignInError::ActionNeeded { error, action } => Self::ActionNeeded { error, action },
            SignInError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}
