//! What [`RefreshingAuth`](super::RefreshingAuth) does while it holds its lock.

use std::sync::Arc;

use levi_types::{
    AccessToken, Clock, CredentialName, Credentials, CredentialsError, FinalWord, RefreshToken, SecretString,
};

use super::error::TokenError;
use super::pace::{SignInPace, WaitLeft};
use super::stored;
use crate::api_error::{ApiError, Verdict};
use crate::sign_in::{SignIn, SignInError, Tokens};

pub(super) struct State {
    sign_in: Arc<dyn SignIn>,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
    pace: SignInPace,
    /// Tokens that could not be stored yet.
    unsaved: Option<Unsaved>,
    /// The server's final word about the stored refresh token.
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
    word: FinalWord,
}

/// A refresh that failed.
struct FailedRefresh {
    /// The token that the caller wanted to replace.
    stale: AccessToken,
    error: TokenError,
}

impl State {
    pub(super) fn new(
        sign_in: Arc<dyn SignIn>,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
        pace: SignInPace,
    ) -> Self {
        Self { sign_in, credentials, clock, pace, unsaved: None, refusal: None, failed: None }
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
            return Err(TokenError::Refused(refusal.word));
        }
        self.check_pace().await?;
        let answer = self.sign_in.refresh(&stored.refresh_token).await;
        self.keep_pace(&answer).await;
        match answer {
            Ok(tokens) => {
                // A token in hand is used although it could not be stored, and the next call stores it.
                let _ = self.save(tokens.clone(), Some(stored.refresh_token)).await;
                Ok(tokens)
            }
            Err(SignInError::Refused(word)) => self.after_refusal(stored.refresh_token, word).await,
            Err(error) => Err(error.into()),
        }
    }

    /// If another process used this refresh token between the read and the request, the tokens that it stored are
    /// returned.
    async fn after_refusal(&mut self, token: RefreshToken, word: FinalWord) -> Result<Tokens, TokenError> {
        if let Ok(Some(stored)) = self.load().await
            && stored.refresh_token != token
        {
            return Ok(stored);
        }
        self.refusal = Some(Refusal { token, word });
        Err(TokenError::Refused(word))
    }

    pub(super) async fn with_password(
        &mut self,
        email: &str,
        password: &SecretString,
    ) -> Result<Tokens, TokenError> {
        self.check_pace().await?;
        let answer = self.sign_in.with_password(email, password).await;
        self.keep_pace(&answer).await;
        Ok(answer?)
    }

    /// Sends no request before a wait is over that the sign-in server asked this or another process for.
    async fn check_pace(&mut self) -> Result<(), TokenError> {
        let name = CredentialName::SignInWait;
        let stored = self.blocking(move |credentials| credentials.load(&name), TokenError::Unreadable).await;
        // A wait that cannot be read is no reason to send nothing: the server will ask again.
        let stored = stored.ok().flatten();
        // Exposed because it is stored with the secrets without being one.
        match self.pace.left(self.clock.now(), stored.as_ref().map(SecretString::expose)) {
            Some(WaitLeft { left, code }) => {
                let detail = "it asked for a wait, which is not over";
                let error = ApiError::new(Verdict::Busy, code, detail).with_retry_after(left);
                Err(TokenError::Unavailable(error))
            }
            None => Ok(()),
        }
    }

    async fn keep_pace(&mut self, answer: &Result<Tokens, SignInError>) {
        let (Err(SignInError::Unavailable(error)) | Err(SignInError::ActionNeeded { error, .. })) = answer
        else {
            return;
        };
        let Some(wait) = error.retry_after.filter(|wait| !wait.is_zero()) else { return };
        let text = self.pace.asked(self.clock.now(), wait, &error.code).into();
        let save = move |credentials: &dyn Credentials| credentials.save(&CredentialName::SignInWait, &text);
        // If it cannot be stored, it is kept in memory, and after a restart the server asks again.
        let _ = self.blocking(save, TokenError::NotSaved).await;
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
