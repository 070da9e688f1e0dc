//! Who is signed in, and with which token.

use async_trait::async_trait;

use crate::{AccessToken, UserId};

/// A signed-in user and the token for requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSession {
    /// The user's id at Supabase (the token's `sub`).
    pub user_id: UserId,
    /// Sent as `Authorization: Bearer`. Expires after about an hour.
    pub access_token: AccessToken,
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nobody is signed in, or the sign-in was revoked: a person must sign in.
    #[error("nobody is signed in")]
    SignedOut,
    /// The keychain is locked or the sign-in server does not respond; a later call may succeed.
    #[error("the sign-in cannot be used now: {0}")]
    Unavailable(String),
}

/// Where the session of the signed-in user comes from.
#[async_trait]
pub trait Auth: Send + Sync {
    /// The present session. Sends no request, so the token may have expired.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn session(&self) -> Result<AuthSession, AuthError>;

    /// A session whose token is not `stale`, which a server refused. Concurrent callers with the same `stale`
    /// share one refresh.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, AuthError>;
}
