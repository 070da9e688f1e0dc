use std::sync::Arc;

use levi_types::CredentialsError;

use crate::api_error::{ApiError, Verdict};
use crate::port::SignInError;

/// Why there is no usable token.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nobody is signed in.
    #[error("nobody is signed in; sign in first")]
    NotSignedIn,
    /// The server will not have this sign-in any more, or the password is wrong.
    #[error(
        "the sign-in was refused ({code}): a wrong email or password, or an ended session; sign in again"
    )]
    Refused {
        /// GoTrue's error code.
        code: String,
    },
    /// The sign-in server cannot be used now; the sign-in itself stands.
    #[error("the sign-in server cannot be used now: {0}")]
    Unavailable(#[source] ApiError),
    /// The credentials store cannot be read.
    #[error("the stored sign-in cannot be read: {0}")]
    Unreadable(#[source] Arc<CredentialsError>),
    /// New tokens came but could not be saved. They are kept in memory; the next call saves them.
    #[error("the new sign-in could not be saved and is kept in memory for now: {0}")]
    NotSaved(#[source] Arc<CredentialsError>),
    /// The stored sign-in is still there.
    #[error("the stored sign-in could not be removed; sign out again: {0}")]
    NotRemoved(#[source] Arc<CredentialsError>),
}

impl TokenError {
    /// Whether the same call may succeed later without anybody signing in again.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreadable(_) | Self::NotSaved(_) | Self::NotRemoved(_))
    }

    /// The runtime stopped, or a port panicked, before the work was done.
    pub(super) fn interrupted() -> Self {
        let detail = "the work was cut short; the runtime is shutting down or a port has panicked";
        Self::Unavailable(ApiError::new(Verdict::Unreachable, "cancelled", detail))
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
