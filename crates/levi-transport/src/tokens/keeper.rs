use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use levi_types::{AccessToken, Credentials, SecretString, SyncContext, UserId};
use tokio::sync::Mutex;

use super::error::TokenError;
use super::session::Session;
use crate::port::{SignIn, Tokens};

/// Who is signed in, with the token to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// For sending.
    pub context: SyncContext,
    /// Whose it is.
    pub user_id: UserId,
}

impl From<&Tokens> for SignedIn {
    fn from(tokens: &Tokens) -> Self {
        Self {
            context: SyncContext { access_token: tokens.access_token.clone() },
            user_id: tokens.user_id.clone(),
        }
    }
}

/// The one place of a device that holds the sign-in and refreshes it. Clones are the same keeper.
///
/// A refresh token works once. So there is one refresher, however many requests fail on the same expired token:
/// the others wait for its result. New tokens are saved before they are handed out, and are not let go if
/// saving fails. A refresh runs to its end even if whoever asked for it stops waiting. Another process on the
/// same credentials (a command beside the daemon) may refresh too, so what is stored is read again before each
/// refresh, and after a refusal.
///
/// All methods need a tokio runtime; the credentials store is called from its blocking threads.
#[derive(Clone)]
pub struct TokenKeeper(Arc<Shared>);

struct Shared {
    session: Mutex<Session>,
    /// Refreshes finished so far. A caller that waited while one finished takes its result.
    finished: AtomicU64,
}

impl TokenKeeper {
    /// A keeper of what `credentials` holds under [`levi_types::CredentialName::SignIn`].
    pub fn new(sign_in: Arc<dyn SignIn>, credentials: Arc<dyn Credentials>) -> Self {
        let session = Mutex::new(Session::new(sign_in, credentials));
        Self(Arc::new(Shared { session, finished: AtomicU64::new(0) }))
    }

    /// Who is signed in, if anybody. Asks no server, so the token may have expired.
    ///
    /// # Errors
    /// [`TokenError::Unreadable`]; [`TokenError::NotSaved`] while new tokens cannot be saved.
    pub async fn current(&self) -> Result<Option<SignedIn>, TokenError> {
        self.detached(|shared| async move {
            let mut session = shared.session.lock().await;
            Ok(session.settled().await?.map(|tokens| SignedIn::from(&tokens)))
        })
        .await
    }

    /// A token that is not `stale`, which a server has just refused.
    ///
    /// Where the stored one differs already, that one, without a request. A refusal is remembered: the
    /// same refresh token is not tried again.
    ///
    /// # Errors
    /// [`TokenError`]. After [`TokenError::Refused`] and [`TokenError::NotSignedIn`] only a new sign-in helps.
    pub async fn fresh(&self, stale: &AccessToken) -> Result<SyncContext, TokenError> {
        let stale = stale.clone();
        let seen = self.0.finished.load(Ordering::SeqCst);
        self.detached(move |shared| async move {
            let mut session = shared.session.lock().await;
            if shared.finished.load(Ordering::SeqCst) != seen
                && let Some(error) = session.failure_for(&stale)
            {
                return Err(error);
            }
            let outcome = session.fresh(&stale).await;
            shared.finished.fetch_add(1, Ordering::SeqCst);
            outcome.map(|tokens| SignedIn::from(&tokens).context)
        })
        .await
    }

    /// Signs in with a password and keeps the tokens.
    ///
    /// # Errors
    /// [`TokenError`]; an earlier sign-in then still stands, unless it is [`TokenError::NotSaved`].
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<SignedIn, TokenError> {
        let (email, password) = (email.to_owned(), password.clone());
        self.detached(|shared| async move {
            let mut session = shared.session.lock().await;
            let tokens = session.with_password(&email, &password).await?;
            Ok(SignedIn::from(&tokens))
        })
        .await
    }

    /// Keeps tokens that came from elsewhere, such as another sign-in flow.
    ///
    /// # Errors
    /// [`TokenError::NotSaved`]; they are then kept in memory, and in use once a later call has saved them.
    pub async fn adopt(&self, tokens: Tokens) -> Result<(), TokenError> {
        self.detached(|shared| async move { shared.session.lock().await.adopt(tokens).await }).await
    }

    /// Forgets the sign-in on this device. The server is not told.
    ///
    /// # Errors
    /// [`TokenError::NotRemoved`].
    pub async fn sign_out(&self) -> Result<(), TokenError> {
        self.detached(|shared| async move { shared.session.lock().await.sign_out().await }).await
    }

    /// Runs `work` as a task of its own, so that it is not cut off between using up a refresh token and saving
    /// the next one when the caller is dropped.
    async fn detached<T, F>(&self, work: impl FnOnce(Arc<Shared>) -> F) -> Result<T, TokenError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, TokenError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.0))).await.unwrap_or_else(|_| Err(TokenError::interrupted()))
    }
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKeeper").finish_non_exhaustive()
    }
}
