//! The port: what Levi asks of a Supabase project.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use levi_types::{AccessToken, RefreshToken, UserId};

use crate::api_error::ApiError;

/// The five tables, with the names and keys of `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    /// `devices`
    Devices,
    /// `repositories`
    Repositories,
    /// `agent_coding_sessions`
    Sessions,
    /// `agent_coding_session_messages`
    Messages,
    /// `agent_coding_session_secrets`
    Secrets,
}

/// One upsert: one POST, one INSERT, all rows or none. `Debug` shows the body's length only.
#[derive(Clone)]
pub struct Upsert {
    /// Where to.
    pub table: Table,
    /// The columns every row names, comma separated (`columns=`).
    pub columns: Cow<'static, str>,
    /// A JSON array of rows, ready to send.
    pub body: Vec<u8>,
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, columns, body } = self;
        f.debug_struct("Upsert")
            .field("table", table)
            .field("columns", columns)
            .field("body_bytes", &body.len())
            .finish()
    }
}

/// One read.
#[derive(Clone, Debug)]
pub struct Select {
    /// Where from.
    pub table: Table,
    /// Query parameters after `?`, already percent-encoded where needed: filters, `select`, `order`, `limit`.
    pub query: String,
}

/// A Supabase project, as one signed-in user sees it.
///
/// An implementation reports what came back and decides nothing else: no retry, no token refresh.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Supabase: Send + Sync {
    /// Upserts rows (`resolution=merge-duplicates`): all of them, or none.
    ///
    /// # Errors
    /// [`ApiError`]. After [`Verdict::Unreachable`](crate::Verdict::Unreachable) the rows may have been written.
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError>;

    /// Reads rows: the body is a JSON array.
    ///
    /// # Errors
    /// [`ApiError`].
    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError>;
}

/// What sign-in and refresh hand back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// For requests, about an hour.
    pub access_token: AccessToken,
    /// For the next refresh, once.
    pub refresh_token: RefreshToken,
    /// Whose they are.
    pub user_id: UserId,
}

/// Why there are no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Wrong password, revoked or reused refresh token: a person must sign in again.
    #[error("the sign-in was refused ({code}); sign in again")]
    Refused {
        /// GoTrue's error code, or the HTTP status.
        code: String,
    },
    /// No answer, or one that a later try may better.
    #[error("the sign-in server cannot be used now: {0}")]
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
    async fn with_password(
        &self,
        email: &str,
        password: &levi_types::SecretString,
    ) -> Result<Tokens, SignInError>;

    /// `grant_type=refresh_token`. The refresh token is used up by it.
    ///
    /// # Errors
    /// [`SignInError`].
    async fn refresh(&self, refresh_token: &RefreshToken) -> Result<Tokens, SignInError>;
}
