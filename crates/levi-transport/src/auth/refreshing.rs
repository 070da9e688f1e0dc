use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use levi_types::{
    AccessToken, Auth, AuthError, AuthSession, Clock, Credentials, SecretString, SignInChange,
    SignInListener, UserId,
};
use tokio::sync::Mutex;

use super::error::TokenError;
use super::listeners::Listeners;
use super::pace::SignInPace;
use super::state::State;
use super::stored::StoredAuth;
use crate::clock::SystemClock;
use crate::sign_in::{SignIn, Tokens};

/// The longest wait for which the sign-in server can ask, unless [`RefreshingAuth::with_pace`] says
/// otherwise: Levi's longest delay with the default settings, 300 s and jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(330);

/// An [`Auth`] that signs in, refreshes its token and stores both tokens. One for each device;
/// clones share it.
///
/// A refresh token works once. However many requests fail on the same expired token, one refresh is
/// sent, and all of them wait for its result. New tokens are stored before they are returned; if
/// storing fails, they are used from memory, and every call tries to store them. A refresh
/// completes even if its caller is dropped. Another process on the same credentials (a command next
/// to the daemon) may refresh too, so the stored tokens are read again before each refresh, and
/// after a refusal.
///
/// Only a [`FinalWord`](levi_types::FinalWord) of the server ends a sign-in; after every other
/// answer the next call asks again. If the server asks for a wait (`Retry-After`), nothing is sent
/// before it is over: calls fail with what is left of it. The wait is stored too, under
/// [`levi_types::CredentialName::SignInWait`].
///
/// All methods need a tokio runtime. The credentials store is called on threads of its own, so that
/// a keychain that hangs holds up no runtime that is dropped; such a runtime waits 300 ms for a
/// call that has begun.
#[derive(Clone)]
pub struct RefreshingAuth(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    credentials: Arc<dyn Credentials>,
    /// The number of refreshes that have ended. If one ended while a caller was waiting, the caller
    /// takes its result.
    finished: AtomicU64,
    listeners: Listeners,
}

impl RefreshingAuth {
    /// Uses the sign-in that `credentials` holds under [`levi_types::CredentialName::SignIn`].
    pub fn new(sign_in: Arc<dyn SignIn>, credentials: Arc<dyn Credentials>) -> Self {
        Self::with_pace(sign_in, credentials, Arc::new(SystemClock::new()), LONGEST_WAIT)
    }

    /// As [`new`](Self::new), with clocks other than the machine's, and with another bound for the
    /// waits for which the server asks.
    pub fn with_pace(
        sign_in: Arc<dyn SignIn>,
        credentials: Arc<dyn Credentials>,
        clock: Arc<dyn Clock>,
        longest_wait: Duration,
    ) -> Self {
        let pace = SignInPace::new(longest_wait);
        let state = Mutex::new(State::new(sign_in, Arc::clone(&credentials), clock, pace));
        Self(Arc::new(Shared {
            state,
            credentials,
            finished: AtomicU64::new(0),
            listeners: Listeners::default(),
        }))
    }

    /// The stored session, if anybody is signed in. Sends no request, so the token may have
    /// expired.
    ///
    /// # Errors
    /// [`TokenError::Unreadable`].
    pub async fn current(&self) -> Result<Option<AuthSession>, TokenError> {
        self.detached(|shared| async move {
            let mut state = shared.state.lock().await;
            Ok(state.stored().await?.map(Tokens::into_session))
        })
        .await
    }

    /// A session whose token is not `stale`, which a server has just refused.
    ///
    /// If the stored token already differs from `stale`, it is returned without a request. A final
    /// word is remembered for a minute: the same refresh token is not sent again before.
    ///
    /// # Errors
    /// [`TokenError`]. After [`SignInError::Refused`](crate::SignInError::Refused) and
    /// [`TokenError::NotSignedIn`] only a new sign-in helps.
    pub async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, TokenError> {
        let stale = stale.clone();
        let seen = self.0.finished.load(Ordering::SeqCst);
        self.detached(move |shared| async move {
            let mut state = shared.state.lock().await;
            if shared.finished.load(Ordering::SeqCst) != seen
                && let Some(error) = state.failure_for(&stale)
            {
                return Err(error);
            }
            let result = state.refresh(&stale).await;
            shared.finished.fetch_add(1, Ordering::SeqCst);
            result.map(Tokens::into_session)
        })
        .await
    }

    /// Signs in with a password and stores the tokens.
    ///
    /// # Errors
    /// [`TokenError`]. An earlier sign-in is still in use then, except after
    /// [`TokenError::NotSaved`].
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<AuthSession, TokenError> {
        let (email, password) = (email.to_owned(), password.clone());
        self.detached(|shared| async move {
            let mut state = shared.state.lock().await;
            let tokens = state.with_password(&email, &password).await?;
            shared.adopt(&mut state, tokens.clone()).await?;
            Ok(tokens.into_session())
        })
        .await
    }

    /// Signs in with a password and stores nothing, for callers that check who it is before they
    /// [`adopt`](Self::adopt) the tokens.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn grant(&self, email: &str, password: &SecretString) -> Result<Tokens, TokenError> {
        let (email, password) = (email.to_owned(), password.clone());
        self.detached(
            |shared| async move { shared.state.lock().await.with_password(&email, &password).await },
        )
        .await
    }

    /// Stores tokens from another sign-in flow.
    ///
    /// # Errors
    /// [`TokenError::NotSaved`]. They are in use from memory then, and every call tries to store
    /// them.
    pub async fn adopt(&self, tokens: Tokens) -> Result<(), TokenError> {
        self.detached(|shared| async move {
            let mut state = shared.state.lock().await;
            shared.adopt(&mut state, tokens).await
        })
        .await
    }

    /// Removes the stored sign-in from this device. Sends no request. A running Levi that uses this
    /// sign-in sends nothing more.
    ///
    /// # Errors
    /// [`TokenError::NotRemoved`]. The sign-in is still stored, so the next start, or a running
    /// Levi after a sleep, uses it again. Call `sign_out` again.
    pub async fn sign_out(&self) -> Result<(), TokenError> {
        self.detached(|shared| async move {
            let mut state = shared.state.lock().await;
            // First, because the credentials store may take its time.
            shared.listeners.tell(&SignInChange::SignedOut);
            state.sign_out().await
        })
        .await
    }

    /// Runs `work` as a task of its own, so that it completes even if the caller is dropped after a
    /// refresh token was used and before the next one is stored.
    async fn detached<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, TokenError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TokenError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.0))).await.unwrap_or_else(|_| Err(TokenError::interrupted()))
    }
}

impl Shared {
    /// Tokens that cannot be stored are used from memory, so the listeners are told of them too.
    /// `state` is locked meanwhile, so that listeners learn of changes in their order.
    async fn adopt(&self, state: &mut State, tokens: Tokens) -> Result<(), TokenError> {
        let change = SignInChange::SignedIn(tokens.clone().into_session());
        let stored = state.adopt(tokens).await;
        self.listeners.tell(&change);
        stored
    }
}

#[async_trait]
impl Auth for RefreshingAuth {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        self.current().await?.ok_or(AuthError::SignedOut)
    }

    async fn refresh(&self, stale: &AccessToken) -> Result<AuthSession, AuthError> {
        Ok(Self::refresh(self, stale).await?)
    }

    fn user_id(&self) -> Option<UserId> {
        StoredAuth::new(Arc::clone(&self.0.credentials)).user_id()
    }

    fn tell(&self, listener: Weak<dyn SignInListener>) {
        self.0.listeners.add(listener);
    }
}

impl fmt::Debug for RefreshingAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshingAuth").finish_non_exhaustive()
    }
}
