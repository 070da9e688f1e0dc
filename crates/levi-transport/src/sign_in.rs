//! The port: what Levi asks of a project's sign-in server.

use async_trait::async_trait;
#[cfg(feature = "http")]
use levi_types::AuthSession;
use levi_types::{AccessToken, FinalWord, RefreshToken, SecretString, UserId};

use crate::api_error::ApiError;

/// What sign-in and refresh return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// For requests. Expires after about an hour.
    pub access_token: AccessToken,
    /// For the next refresh. Works once.
    pub refresh_token: RefreshToken,
    /// The user whose tokens they are.
    pub user_id: UserId,
}

#[cfg(feature = "http")]
impl Tokens {
    pub(crate) fn into_session(self) -> AuthSession {
        AuthSession { user_id: self.user_id, access_token: self.access_token }
    }
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The sign-in server's own final word.
    #[error("{0}")]
    Refused(FinalWord),
    /// The sign-in server requires something else first, and names it. An existing sign-in is still
    /// valid, and a refresh is tried again.
    #[error("the sign-in server refuses for now ({code}): {action}", code = .error.code)]
    ActionNeeded {
        /// The server's answer.
        error: ApiError,
        /// What the user can do.
        action: &'static str,
    },
    /// No response, or one after which a later try may succeed.
    #[error("{}", .0.of_sign_in_server())]
    Unavailable(ApiError),
}

/// Sign-in and refresh (`/auth/v1/token`).
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait SignIn: Send + Sync {
    /// `grant_type=password`.
    ///
    /// # Errors
    /// [`SignInError`].
    async fn with_password(&self, email: &str, password: &SecretString) -> Result<Tokens, SignInError>;

    /// `grant_type=refresh_token`. The refresh token does not work a second time.
    ///
    /// # Errors
    /// [`SignInError`].
    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Tokens, SignInError>;
}
