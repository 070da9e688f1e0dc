//! What [`RefreshingAuth`](super::RefreshingAuth) does while it holds its lock.

use std::sync::Arc;

use levi_types::{AccessToken, CredentialName, Credentials, CredentialsError, RefreshToken, SecretString};

use super::error::TokenError;
use super::stored;
use crate::port::{SignIn, SignInError, Tokens};

pub(super) struct Session {
    sign_in: Arc<dyn SignIn>,
    credentials: Arc<dyn Credentials>,
    /// Tokens that the store does not have yet.
    unsaved: Option<Unsaved>,
    /// The refresh token that was refused, and with which code.
    refused: Option<(RefreshToken, String)>,
    /// The last refresh, if it failed: for which token, and how.
    failure: Option<(AccessToken, TokenError)>,
}

/// Tokens that could not be saved.
#[derive(Clone)]
struct Unsaved {
    tokens: Tokens,
    /// The refresh token that was stored, as far as it could be read, when these were to take its place.
    replaces: Option<RefreshToken>,
}

impl Session {
    pub(super) fn new(sign_in: Arc<dyn SignIn>, credentials: Arc<dyn Credentials>) -> Self {
        Self { sign_in, credentials, unsaved: None, refused: None, failure: None }
    }

    /// How the last refresh failed, if it was for `stale`.
    pub(super) fn failure_for(&self, stale: &AccessToken) -> Option<TokenError> {
        self.failure.as_ref().filter(|(token, _)| token == stale).map(|(_, error)| error.clone())
    }

    /// The sign-in as it is stored, after saving what was not saved yet.
    pub(super) async fn settled(&mut self) -> Result<Option<Tokens>, TokenError> {
        let stored = self.load().await;
        let Some(Unsaved { tokens, replaces }) = self.unsaved.clone() else { return stored };
        if let Ok(stored) = stored
            && stored.as_ref().map(|tokens| &tokens.refresh_token) != replaces.as_ref()
        {
            // Somebody signed in or out meanwhile, elsewhere; that is newer.
            self.unsaved = None;
            return Ok(stored);
        }
        self.save(tokens.clone(), replaces).await?;
        Ok(Some(tokens))
    }

    pub(super) async fn refresh(&mut self, stale: &AccessToken) -> Result<Tokens, TokenError> {
        let outcome = self.try_refresh(stale).await;
        self.failure = outcome.as_ref().err().map(|error| (stale.clone(), error.clone()));
        outcome
    }

    async fn try_refresh(&mut self, stale: &AccessToken) -> Result<Tokens, TokenError> {
        let stored = self.settled().await?.ok_or(TokenError::NotSignedIn)?;
        if stored.access_token != *stale {
            return Ok(stored);
        }
        if let Some((token, code)) = &self.refused
            && *token == stored.refresh_token
        {
            return Err(TokenError::Refused { code: code.clone() });
        }
        match self.sign_in.refresh(&stored.refresh_token).await {
            Ok(tokens) => {
                self.save(tokens.clone(), Some(stored.refresh_token)).await?;
                Ok(tokens)
            }
            Err(SignInError::Refused { code }) => self.after_refusal(stored.refresh_token, code).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Another process may have used this refresh token up between our reading and our request. Then its
    /// tokens are the ones to use, and nobody has to sign in again.
    async fn after_refusal(&mut self, token: RefreshToken, code: String) -> Result<Tokens, TokenError> {
        if let Ok(Some(stored)) = self.load().await
            && stored.refresh_token != token
        {
            return Ok(stored);
        }
        self.refused = Some((token, code.clone()));
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
        // Handed over by a person, so worth another try even if the server refused them before.
        self.refused = None;
        self.failure = None;
        let replaces = self.load().await.ok().flatten().map(|stored| stored.refresh_token);
        self.save(tokens, replaces).await
    }

    pub(super) async fn sign_out(&mut self) -> Result<(), TokenError> {
        // Before the store is asked: tokens kept in memory must not come back after a sign-out.
        self.unsaved = None;
        self.failure = None;
        self.blocking(|credentials| credentials.remove(&CredentialName::SignIn))
            .await?
            .map_err(|error| TokenError::NotRemoved(Arc::new(error)))
    }

    async fn load(&self) -> Result<Option<Tokens>, TokenError> {
        self.blocking(stored::load).await?.map_err(|error| TokenError::Unreadable(Arc::new(error)))
    }

    /// Saves `tokens`, or keeps them in memory for the next call to save.
    async fn save(&mut self, tokens: Tokens, replaces: Option<RefreshToken>) -> Result<(), TokenError> {
        self.unsaved = Some(Unsaved { tokens: tokens.clone(), replaces });
        self.blocking(move |credentials| stored::save(credentials, &tokens))
            .await?
            .map_err(|error| TokenError::NotSaved(Arc::new(error)))?;
        self.unsaved = None;
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Credentials) -> Result<T, CredentialsError> + Send + 'static,
    ) -> Result<Result<T, CredentialsError>, TokenError> {
        let credentials = Arc::clone(&self.credentials);
        tokio::task::spawn_blocking(move || work(&*credentials)).await.map_err(|_| TokenError::interrupted())
    }
}
