use std::sync::Arc;
use std::time::Duration;

use levi_types::{AuthError, CredentialsError};

use crate::api_error::{ApiError, Verdict};
use crate::sign_in::SignInError;

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nobody is signed in.
    #[error("nobody is signed in; sign in first")]
    NotSignedIn,
    /// The sign-in server gave no tokens. Unless it is a final word, the sign-in is still valid.
    #[error(transparent)]
    SignIn(#[from] SignInError),
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
        !matches!(self, Self::NotSignedIn | Self::SignIn(SignInError::Refused(_)))
    }

    /// How long the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::SignIn(SignInError::ActionNeeded { error, .. } | SignInError::Unavailable(error)) => {
                error.retry_after
            }
            _ => None,
        }
    }

    /// The runtime stopped, a port panicked or there was no thread, before the call completed.
    pub(super) fn interrupted() -> Self {
        let detail = "the call did not complete; the runtime is shutting down, a port has panicked, or no thread can be started";
        Self::SignIn(SignInError::Unavailable(ApiError::new(Verdict::Unreachable, "cancelled", detail)))
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NotSignedIn => Self::SignedOut,
            TokenError::SignIn(SignInError::Refused(word)) => Self::Ended(word),
            other => Self::Unavailable { why: other.to_string(), retry_after: other.retry_after() },
        }
    }
}
