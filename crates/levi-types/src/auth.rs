//! Who is signed in, and with which token.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;

use crate::{AccessToken, FinalWord, UserId};

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
    /// Nobody is signed in: a person must sign in.
    #[error("nobody is signed in")]
    SignedOut,
    /// The sign-in server ended the sign-in.
    #[error("{0}")]
    Ended(FinalWord),
    /// The keychain is locked, or the sign-in server does not answer or answers with anything but a
    /// [`FinalWord`]; a later call may succeed.
    #[error("the sign-in cannot be used now: {why}")]
    Unavailable {
        /// What happened, in words for people.
        why: String,
        /// How long the sign-in server asked the caller to wait. Earlier calls fail.
        retry_after: Option<Duration>,
    },
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

impl AuthError {
    /// [`Unavailable`](Self::Unavailable) without a requested wait.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into(), retry_after: None }
    }

    /// How long the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::SignedOut | Self::Ended(_) | Self::OtherUser { .. } => None,
        }
    }
}

/// Where the session of the signed-in user comes from.
#[async_trait]
pub trait Auth: Send + Sync {
    /// The present session. Sends no request, so the token may have expired.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn session(&self) -> Result<AuthSession, AuthError>;

    /// A session whose token is not `stale`, which a server refused. Concurrent callers with the
    /// same `stale` share one refresh.
    ///
    /// # Errors
    /// [`AuthError`].
    async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, AuthError>;

    /// The signed-in user, if known at once. Levi asks when it starts, so that rows that are
    /// enqueued before the first [`session`](Self::session) are recorded for the right user.
    /// Without an answer within a second, they are recorded for the user who signed in last. Levi
    /// calls this on a thread of its own, so it may block.
    fn user_id(&self) -> Option<UserId> {
        None
    }

    /// Calls `listener` from now on for each sign-in and sign-out that is made through this value,
    /// before the call that makes it returns. Levi registers itself when it starts, so that it
    /// sends nothing after a sign-out. An implementation through which nobody signs in need not do
    /// anything.
    fn tell(&self, listener: Weak<dyn SignInListener>) {
        let _ = listener;
    }
}

/// A sign-in or a sign-out.
#[derive(Clone, Debug)]
pub enum SignInChange {
    /// This session is in use now.
    SignedIn(AuthSession),
    /// Nobody is signed in any more.
    SignedOut,
}

/// Receives the sign-ins and sign-outs, once registered with [`Auth::tell`].
pub trait SignInListener: Send + Sync {
    /// Called in the order of the changes.
    fn changed(self: Arc<Self>, change: SignInChange);
}
