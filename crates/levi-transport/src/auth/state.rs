//! What [`RefreshingAuth`](super::RefreshingAuth) does while it holds its lock.

use std::sync::Arc;
use std::time::Duration;

use levi_types::{
    AccessToken, Clock, CredentialName, Credentials, CredentialsError, FinalWord, Now, RefreshToken,
    SecretString,
};

use super::detached::{OnDrop, detached};
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
    replaces: Replaces,
}

/// What the store held before tokens that are to be stored there.
#[derive(Clone)]
enum Replaces {
    /// It could not be read.
    Unknown,
    /// No sign-in.
    Nobody,
    /// The sign-in with this refresh token.
    Token(RefreshToken),
}

impl Replaces {
    fn of(loaded: Result<Option<Tokens>, TokenError>) -> Self {
        loaded.map_or(Self::Unknown, |stored| {
            stored.map_or(Self::Nobody, |tokens| Self::Token(tokens.refresh_token))
        })
    }

    /// If the store could not be read before, takes the first content that can be read for what it
    /// held.
    fn or(self, stored: &Result<Option<Tokens>, TokenError>) -> Self {
        match (self, stored) {
            (Self::Unknown, Ok(Some(tokens))) => Self::Token(tokens.refresh_token.clone()),
            (Self::Unknown, Ok(None)) => Self::Nobody,
            (known, _) => known,
        }
    }

    /// Whether another process signed in or out since, which left `stored`.
    fn is_outdated_by(&self, stored: Option<&Tokens>) -> bool {
        match self {
            Self::Unknown => false,
            Self::Nobody => stored.is_some(),
            Self::Token(token) => stored.is_none_or(|tokens| tokens.refresh_token != *token),
        }
    }
}

/// For how long a final word is an answer: a ban ends, and a gateway may have asked the wrong server.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// A refresh token that the server did not accept.
struct Refusal {
    token: RefreshToken,
    word: FinalWord,
    at: Now,
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
        let replaces = replaces.or(&stored);
        if let Ok(stored) = stored
            && replaces.is_outdated_by(stored.as_ref())
        {
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
            && self.clock.now().since(refusal.at) < REMEMBERED_FOR
        {
            return Err(SignInError::Refused(refusal.word).into());
        }
        let over = self.check_pace().await?;
        let token = stored.refresh_token;
        // While the tokens that are sent could not be stored, the store holds earlier ones.
        let replaces = self.unsaved.as_ref().map(|unsaved| unsaved.replaces.clone());
        let replaces = replaces.unwrap_or_else(|| Replaces::Token(token.clone()));
        let answer = self.sign_in.refresh(&token).await;
        self.keep_pace(&answer, over).await;
        match answer {
            Ok(tokens) => self.after_grant(tokens, replaces).await,
            Err(SignInError::Refused(word)) => self.after_refusal(token, word, &replaces).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn after_grant(&mut self, tokens: Tokens, replaces: Replaces) -> Result<Tokens, TokenError> {
        if let Some(newer) = self.newer_than(&replaces).await {
            return newer;
        }
        // A token in hand is used although it could not be stored, and the next call stores it.
        let _ = self.save(tokens.clone(), replaces).await;
        Ok(tokens)
    }

    async fn after_refusal(
        &mut self,
        token: RefreshToken,
        word: FinalWord,
        replaces: &Replaces,
    ) -> Result<Tokens, TokenError> {
        if let Some(newer) = self.newer_than(replaces).await {
            return newer;
        }
        self.refusal = Some(Refusal { token, word, at: self.clock.now() });
        Err(SignInError::Refused(word).into())
    }

    /// The stored sign-in if another process refreshed, signed in or signed out during a request.
    /// The response to the request then no longer counts.
    async fn newer_than(&mut self, replaces: &Replaces) -> Option<Result<Tokens, TokenError>> {
        let stored = self.load().await.ok()?;
        if !replaces.is_outdated_by(stored.as_ref()) {
            return None;
        }
        self.unsaved = None;
        Some(stored.ok_or(TokenError::NotSignedIn))
    }

    pub(super) async fn with_password(
        &mut self,
        email: &str,
        password: &SecretString,
    ) -> Result<Tokens, TokenError> {
        let over = self.check_pace().await?;
        let answer = self.sign_in.with_password(email, password).await;
        self.keep_pace(&answer, over).await;
        Ok(answer?)
    }

    /// Fails while a wait goes on that the sign-in server asked this or another process for.
    /// Returns the stored text of a wait that is over.
    async fn check_pace(&mut self) -> Result<Option<SecretString>, TokenError> {
        let name = CredentialName::SignInWait;
        let stored = self.detached(move |credentials| credentials.load(&name), TokenError::Unreadable).await;
        // A wait that cannot be read is no reason to send nothing: the server will ask again.
        let stored = stored.ok().flatten();
        // Exposed because it is stored with the secrets without being one.
        let wait = self.pace.left(self.clock.now(), stored.as_ref().map(SecretString::expose));
        let Some(WaitLeft { left, code, to_store }) = wait else { return Ok(stored) };
        if let Some(text) = to_store {
            self.store_wait(text).await;
        }
        let detail = "it asked for a wait, which is not over";
        let error = ApiError::new(Verdict::Busy, code, detail).with_retry_after(left);
        Err(SignInError::Unavailable(error).into())
    }

    /// Stores the wait that the server asks for. If it asks for none, removes the one that is over,
    /// because that one would count again if the clock was set back.
    async fn keep_pace(&mut self, answer: &Result<Tokens, SignInError>, over: Option<SecretString>) {
        if let Err(SignInError::Unavailable(error) | SignInError::ActionNeeded { error, .. }) = answer
            && let Some(wait) = error.retry_after.filter(|wait| !wait.is_zero())
        {
            let text = self.pace.asked(self.clock.now(), wait, &error.code);
            self.store_wait(text).await;
        } else if let Some(over) = over {
            self.remove_wait(over).await;
        }
    }

    async fn store_wait(&self, text: String) {
        let text = text.into();
        let save = move |credentials: &dyn Credentials| credentials.save(&CredentialName::SignInWait, &text);
        // If it cannot be stored, it is kept in memory, and after a restart the server asks again.
        let _ = self.detached(save, TokenError::NotSaved).await;
    }

    async fn remove_wait(&self, over: SecretString) {
        let remove = move |credentials: &dyn Credentials| {
            let name = CredentialName::SignInWait;
            // Another process may have stored a newer one during the request.
            if credentials.load(&name)? == Some(over) { credentials.remove(&name) } else { Ok(()) }
        };
        // If it cannot be removed, the next answer does it.
        let _ = self.detached(remove, TokenError::NotRemoved).await;
    }

    pub(super) async fn adopt(&mut self, tokens: Tokens) -> Result<(), TokenError> {
        // The user signed in, so these tokens are tried even if the server refused them before.
        self.refusal = None;
        self.failed = None;
        let replaces = Replaces::of(self.load().await);
        self.save(tokens, replaces).await
    }

    pub(super) async fn sign_out(&mut self) -> Result<(), TokenError> {
        // Before the store is changed: tokens kept in memory must not be stored after a sign-out.
        self.unsaved = None;
        self.failed = None;
        self.detached(|credentials| credentials.remove(&CredentialName::SignIn), TokenError::NotRemoved).await
    }

    async fn load(&self) -> Result<Option<Tokens>, TokenError> {
        self.detached(stored::load, TokenError::Unreadable).await
    }

    /// Stores `tokens`; if that fails, they are kept in memory and the next call stores them.
    async fn save(&mut self, tokens: Tokens, replaces: Replaces) -> Result<(), TokenError> {
        self.unsaved = Some(Unsaved { tokens: tokens.clone(), replaces });
        self.detached(move |credentials| stored::save(credentials, &tokens), TokenError::NotSaved).await?;
        self.unsaved = None;
        Ok(())
    }

    /// Calls the credentials store on a thread of its own.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Credentials) -> Result<T, CredentialsError> + Send + 'static,
        failed: fn(Arc<CredentialsError>) -> TokenError,
    ) -> Result<T, TokenError> {
        let result = detached(&self.credentials, OnDrop::Finish, work).await;
        result.ok_or_else(TokenError::interrupted)?.map_err(|error| failed(Arc::new(error)))
    }
}
