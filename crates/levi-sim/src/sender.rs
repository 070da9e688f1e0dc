//! Levi's own sender of control rows, over the simulated tables. Its requests are answered at once,
//! so that one poll completes it.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use levi_core::{
    ControlQueue, ControlSender, EnqueueError, SecretsCache, SessionSyncService, Step, SyncError,
};
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_outbox::NewRow;
use levi_types::{AccessToken, Auth, AuthError, AuthSession, SessionStore};

use crate::tables::Tables;

/// The sender of a process that has just begun.
pub(crate) fn sender(tables: &Tables, store: Arc<dyn SessionStore>) -> Arc<dyn ControlSender> {
    let queue = Arc::new(Capture(Mutex::new(None)));
    let key = DevicePrivateKey::from_bytes([7; 32]);
    let service = SessionSyncService::with_parts(
        Arc::new(tables.clone()),
        store,
        Arc::new(SignedIn),
        "d".into(),
        key,
        SecretsCache::new(),
    );
    drop(service.with_outbox(queue.clone()));
    let sender = queue.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    sender.unwrap_or_else(|| Arc::new(Nobody))
}

/// The output of a future that never waits.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

struct SignedIn;

impl SignedIn {
    fn it_is(&self) -> AuthSession {
        AuthSession { user_id: "u".into(), access_token: AccessToken::from("token") }
    }
}

#[async_trait]
impl Auth for SignedIn {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(self.it_is())
    }

    async fn refresh(&self, _: &AccessToken) -> Result<AuthSession, AuthError> {
        Ok(self.it_is())
    }
}

/// Stores the sender that session sync gives to its queue.
struct Capture(Mutex<Option<Arc<dyn ControlSender>>>);

#[async_trait]
impl ControlQueue for Capture {
    async fn enqueue(&self, _: Vec<NewRow>) -> Result<Vec<Step>, EnqueueError> {
        Err(EnqueueError::NotStarted)
    }

    fn send_with(&self, sender: Arc<dyn ControlSender>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn database_key(&self) -> Option<DatabaseKey> {
        None
    }
}

struct Nobody;

#[async_trait]
impl ControlSender for Nobody {
    fn claim(&self, user: &levi_types::UserId) -> levi_types::UserId {
        user.clone()
    }

    async fn send(
        &self,
        _: Option<&levi_types::UserId>,
        _: &levi_outbox::LaneKey,
        _: &[u8],
        _: levi_core::Presence,
    ) -> Result<(), SyncError> {
        Err(SyncError::UnknownRow)
    }
}
