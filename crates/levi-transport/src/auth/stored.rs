//! The stored sign-in: one JSON object under one name, so that it changes in one write.

use std::sync::Arc;

use async_trait::async_trait;
#[cfg(feature = "http")]
use levi_types::PortErrorKind;
use levi_types::{
    AccessToken, Auth, AuthError, AuthSession, CredentialName, Credentials, CredentialsError, SecretString,
    UserId,
};
use serde::Deserialize;
#[cfg(feature = "http")]
use serde::Serialize;

use super::detached::{OnDrop, detached};
#[cfg(feature = "http")]
use crate::sign_in::Tokens;

/// An [`Auth`] that reads the stored sign-in on each call, for a process next to the one that
/// refreshes it.
pub struct StoredAuth(Arc<dyn Credentials>);

impl StoredAuth {
    /// Reads what `credentials` holds under [`CredentialName::SignIn`].
    pub fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self(credentials)
    }

    async fn read(&self) -> Result<AuthSession, AuthError> {
        let loaded =
            detached(&self.0, OnDrop::Leave, |credentials| credentials.load(&CredentialName::SignIn)).await;
        parse(loaded.ok_or_else(|| AuthError::unavailable("the credentials store could not be called"))?)
    }
}

fn parse(loaded: Result<Option<SecretString>, CredentialsError>) -> Result<AuthSession, AuthError> {
    // A daemon that refreshes tokens by itself may store no refresh token here.
    #[derive(Deserialize)]
    struct Stored {
        user_id: UserId,
        access_token: String,
    }
    let secret = loaded.map_err(|error| AuthError::unavailable(error.to_string()))?;
    let secret = secret.ok_or(AuthError::SignedOut)?;
    // Exposed to be parsed; the token becomes an `AccessToken`.
    let Stored { user_id, access_token } = serde_json::from_str(secret.expose()).map_err(|_| {
        AuthError::unavailable("what is stored under `sign-in` is not understood; sign in again")
    })?;
    Ok(AuthSession { user_id, access_token: access_token.into() })
}

#[async_trait]
impl Auth for StoredAuth {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        self.read().await
    }

    async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, AuthError> {
        let session = self.read().await?;
        if session.access_token == *stale {
            // Only the process that refreshes the sign-in can know whether it has ended.
            return Err(AuthError::unavailable(
                "the stored token was refused, and no fresh one is stored yet",
            ));
        }
        Ok(session)
    }

    fn user_id(&self) -> Option<UserId> {
        let loaded = self.0.load(&CredentialName::SignIn);
        parse(loaded).ok().map(|session| session.user_id)
    }
}

#[cfg(feature = "http")]
#[derive(Serialize)]
struct StoredTokensRef<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    user_id: &'a str,
}

#[cfg(feature = "http")]
#[derive(Deserialize)]
struct StoredTokens {
    access_token: String,
    refresh_token: String,
    user_id: String,
}

#[cfg(feature = "http")]
pub(super) fn load(credentials: &dyn Credentials) -> Result<Option<Tokens>, CredentialsError> {
    let Some(secret) = credentials.load(&CredentialName::SignIn)? else { return Ok(None) };
    // Exposed to be parsed into tokens, which are secrets again.
    match serde_json::from_str::<StoredTokens>(secret.expose()) {
        Ok(stored) => Ok(Some(Tokens {
            access_token: stored.access_token.into(),
            refresh_token: stored.refresh_token.into(),
            user_id: stored.user_id.into(),
        })),
        // The parser's message could quote a token, so it is not shown.
        Err(_) => Err(CredentialsError::new(
            PortErrorKind::Corrupt,
            "the stored sign-in is not understood; sign in again",
        )),
    }
}

#[cfg(feature = "http")]
pub(super) fn save(credentials: &dyn Credentials, tokens: &Tokens) -> Result<(), CredentialsError> {
    let stored = StoredTokensRef {
        // Exposed to the credentials store.
        access_token: tokens.access_token.expose(),
        refresh_token: tokens.refresh_token.expose(),
        user_id: tokens.user_id.as_str(),
    };
    let text = serde_json::to_string(&stored)
        .map_err(|error| CredentialsError::new(PortErrorKind::Corrupt, error.to_string()))?;
    credentials.save(&CredentialName::SignIn, &SecretString::new(text))
}
