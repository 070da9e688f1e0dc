//! What [`RefreshingAuth`](super::RefreshingAuth) does while it holds its lock.

use std::sync::Arc;

use levi_types::{AccessToken, CredentialName, Credentials, CredentialsError, RefreshToken, SecretString};

use super::error::TokenError;
use super::stored;
use crate::sign_in::{SignIn, SignInError, Tokens};

pub(super) struct State {
    sign_in: Arc<dyn SignIn>,
    credentials: Arc<dyn Credentials>,
    /// Tokens that could not be stored yet.
    unsaved: Option<Unsaved>,
    /// The server's refusal of the stored refresh token.
    refusal: Option<Refusal>,
    /// The last refresh, if it failed.
    failed: Option<FailedRefresh>,
}

/// Tokens that could not be stored.
#[derive(Clone)]
struct Unsaved {
    tokens: Tokens,
    /// The refresh token that was in the store before; `None` if there was none or it could not be read.
    replaces: Option<RefreshToken>,
}

/// A refresh token that the server does not accept any more.
struct Refusal {
    token: RefreshToken,
    /// GoTrue's error code.
    code: String,
}

/// A refresh that failed.
struct FailedRefresh {
    /// The token that the caller wanted to replace.
    stale: AccessToken,
    error: TokenError,
}

impl State {
    pub(super) fn new(sign_in: Arc<dyn SignIn>, credentials: Arc<dyn Credentials>) -> Self {
        Self { sign_in, credentials, unsaved: None, refusal: None, failed: None }
    }

    /// Why the last refresh failed, if it was for `stale`.
    pub(super) fn failure_for(&self, stale: &AccessToken) -> Option<TokenError> {
        self.failed.as_ref().filter(|failed| failed.stale == *stale).map(|failed| failed.error.clone())
    }

    /// The stored sign-in. Tokens that could not be stored before are stored first.
    pub(super) async fn stored(&mut self) -> Result<Option<Tokens>, TokenError> {
        let stored = self.load().await;
        let Some(Unsaved { tokens, replaces }) = self.unsaved.clone() else { return stored };
        if let Ok(stored) = stored
            && stored.as_ref().map(|tokens| &tokens.refresh_token) != replaces.as_ref()
        {
            // Another process signed in or out in the meantime, which is newer.
            self.unsaved = None;
            return Ok(stored);
        }
        // In memory they are as good as stored; every call tries to store them.
        let _ = self.save(tokens.clone(), replaces).await;
        Ok(Some(tokens))
    }

    pub(super) async fn refresh(&mut self, stale: &AccessToken) -> Result<Tokens, TokenError> {
        let result = self.try_refresh(stale).await;
        self.failed =
            result.as_ref().err().map(|error| FailedRefresh { stale: stale.clone(), error: error.clone() });
        result
    }

    async fn try_refresh(&mut self, stale: &AccessToken) -> Result<Tokens, TokenError> {
        let stored = self.stored().await?.ok_or(TokenError::NotSignedIn)?;
        if stored.access_token != *stale {
            return Ok(stored);
        }
        if let Some(refusal) = &self.refusal
            && refusal.token == stored.refresh_token
        {
            return Err(TokenError::Refused { code: refusal.code.clone() });
        }
        match self.sign_in.refresh(&stored.refresh_token).await {
            Ok(tokens) => {
                // A token in hand is used although it could not be stored, and the next call stores it.
                let _ = self.save(tokens.clone(), Some(stored.refresh_token)).await;
                Ok(tokens)
            }
            Err(SignInError::Refused { code }) => self.after_refusal(stored.refresh_token, code).await,
            Err(error) => Err(error.into()),
        }
    }

    /// If another process used this refresh token between the read and the request, the tokens that it stored are
    /// returned.
    async fn after_refusal(&mut self, token: RefreshToken, code: String) -> Result<Tokens, TokenError> {
        if let Ok(Some(stored)) = self.load().await
            && stored.refresh_token != token
        {
            return Ok(stored);
        }
        self.refusal = Some(Refusal { token, code: code.clone() });
        Err(TokenError::Refused { code })
    }

    pub(super) async fn with_password(
        &mut self,
        email: &str,
        password: &SecretString,
    ) -> Result<Tokens, TokenError> {
        let tokens = self.sign_in.with_password(email, password).await?;
        self.adopt(tokens.clone()).await?;
        Ok(tokens)
    }

    pub(super) async fn adopt(&mut self, tokens: Tokens) -> Result<(), TokenError> {
        // A person signed in, so these tokens are tried even if the server refused them before.
        self.refusal = None;
        self.failed = None;
        let replaces = self.load().await.ok().flatten().map(|stored| stored.refresh_token);
        self.save(tokens, replaces).await
    }

    pub(super) async fn sign_out(&mut self) -> Result<(), TokenError> {
        // Before the store is changed: tokens kept in memory must not be stored after a sign-out.
        self.unsaved = None;
        self.failed = None;
        self.blocking(|credentials| credentials.remove(&CredentialName::SignIn), TokenError::NotRemoved).await
    }

    async fn load(&self) -> Result<Option<Tokens>, TokenError> {
        self.blocking(stored::load, TokenError::Unreadable).await
    }

    /// Stores `tokens`; if that fails, they are kept in memory and the next call stores them.
    async fn save(&mut self, tokens: Tokens, replaces: Option<RefreshToken>) -> Result<(), TokenError> {
        self.unsaved = Some(Unsaved { tokens: tokens.clone(), replaces });
        self.blocking(move |credentials| stored::save(credentials, &tokens), TokenError::NotSaved).await?;
        self.unsaved = None;
        Ok(())
    }

    /// Calls the credentials store on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Credentials) -> Result<T, CredentialsError> + Send + 'static,
        failed: fn(Arc<CredentialsError>) -> TokenError,
    ) -> Result<T, TokenError> {
        let credentials = Arc::clone(&self.credentials);
        let result = tokio::task::spawn_blocking(move || work(&*credentials)).await;
        result.map_err(|_| TokenError::interrupted())?.map_err(|error| failed(Arc::new(error)))
    }
}
