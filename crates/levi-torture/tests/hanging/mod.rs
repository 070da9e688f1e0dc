//! Ports of the daemon that never answer.

use std::sync::Arc;
use std::thread;

use levi::{Credentials, SessionId, SessionStore, UserId};
use levi_types::{
    CodingSession, CredentialName, CredentialsError, DeliveryReport, Repository, RepositoryId, SecretString,
    StoreError,
};
use tokio::sync::Notify;

/// Hangs from the second call on: the first names the user at the start.
pub(super) struct HangingCredentials {
    inner: Arc<dyn Credentials>,
    calls: std::sync::atomic::AtomicU64,
    hangs: Notify,
}

/// Hangs in one of its calls.
pub(super) struct HangingStore {
    inner: Arc<dyn SessionStore>,
    call: StoreCall,
    hangs: Notify,
}

/// A call of the engine thread, or on a thread of the daemon's runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreCall {
    Record,
    Repository,
    /// Of the worker, when somebody signs in.
    SignedIn,
}

/// Until the process ends.
fn hang(hangs: &Notify) -> ! {
    hangs.notify_one();
    loop {
        thread::park();
    }
}

impl HangingCredentials {
    pub(super) fn new(inner: Arc<dyn Credentials>) -> Arc<Self> {
        Arc::new(Self { inner, calls: Default::default(), hangs: Notify::new() })
    }

    pub(super) async fn hangs(&self) {
        self.hangs.notified().await;
    }
}

impl Credentials for HangingCredentials {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        if self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
            hang(&self.hangs);
        }
        self.inner.load(name)
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        self.inner.save(name, secret)
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        self.inner.remove(name)
    }
}

impl HangingStore {
    pub(super) fn new(inner: Arc<dyn SessionStore>, call: StoreCall) -> Arc<Self> {
        Arc::new(Self { inner, call, hangs: Notify::new() })
    }

    pub(super) async fn hangs(&self) {
        self.hangs.notified().await;
    }
}

impl SessionStore for HangingStore {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        self.inner.session_secret(session)
    }

    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        if self.call == StoreCall::Repository {
            hang(&self.hangs);
        }
        self.inner.repository(repository)
    }

    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        self.inner.session(session)
    }

    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        self.inner.session_user(session)
    }

    fn signed_in(&self, user: &UserId) -> Result<(), StoreError> {
        if self.call == StoreCall::SignedIn {
            hang(&self.hangs);
        }
        self.inner.signed_in(user)
    }

    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        if self.call == StoreCall::Record {
            hang(&self.hangs);
        }
        self.inner.record(reports)
    }
}
