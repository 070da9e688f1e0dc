use std::sync::Arc;

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
    /// The server does not accept this sign-in any more, or the password is wrong.
    #[error(
        "the sign-in was refused ({code}): a wrong email or password, or an ended session; sign in again"
    )]
    Refused {
        /// GoTrue's error code.
        code: String,
    },
    /// The sign-in server cannot be used now. The sign-in is still valid.
    #[error("the sign-in server cannot be used now: {0}")]
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
        matches!(self, Self::Unavailable(_) | Self::Unreadable(_) | Self::NotSaved(_) | Self::NotRemoved(_))
    }

    /// The runtime stopped, or a port panicked, before the call completed.
    pub(super) fn interrupted() -> Self {
        let detail = "the call did not complete; the runtime is shutting down or a port has panicked";
        Self::Unavailable(ApiError::new(Verdict::Unreachable, "cancelled", detail))
    }
}

impl From<TokenError> for AuthError {
    fn from(error: TokenError) -> Self {
        if error.is_transient() { Self::Unavailable(error.to_string()) } else { Self::SignedOut }
    }
}

impl From<SignInError> for TokenError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused { code } => Self::Refused { code },
            SignInError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}
