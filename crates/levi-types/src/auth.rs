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
    /// Another user is signed in than the one for whom this was made or recorded.
    #[error(
        "user {found} is signed in, and this is user {expected}'s; sign in as that user, or make a new one"
    )]
    OtherUser {
        /// For whom it was made or recorded.
        expected: UserId,
        /// Who is signed in.
        found: UserId,
    },
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

    /// Who is signed in, if that is known at once. Levi asks when it starts, so that what is enqueued before the
    /// first [`session`](Self::session) is recorded for the right user; without an answer it is recorded for the
    /// user who signed in last.
    fn user_id(&self) -> Option<UserId> {
        None
    }
}
