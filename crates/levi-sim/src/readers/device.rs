//! The devices of the simulation: one writes, the other reads.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use levi_types::{
    AccessToken, Auth, AuthError, AuthSession, CodingSession, DeliveryReport, DeviceId, ReceivedSecret,
    Repository, RepositoryId, SecretString, SessionId, SessionStore, StoreError, UserId,
};

/// Everybody is signed in as the same user.
pub(super) struct SignedIn(pub(super) UserId);

#[async_trait]
impl Auth for SignedIn {
    async fn session(&self) -> Result<AuthSession, AuthError> {
        Ok(AuthSession { user_id: self.0.clone(), access_token: AccessToken::from("token") })
    }

    async fn refresh(&self, _: &AccessToken) -> Result<AuthSession, AuthError> {
        self.session().await
    }
}

/// A device's store, which survives restarts.
#[derive(Default)]
pub(super) struct Store(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    own: HashMap<SessionId, SecretString>,
    received: Vec<(SessionId, ReceivedSecret)>,
}

impl Store {
    pub(super) fn save_secret(&self, session: &SessionId, secret: SecretString) {
        let before = self.kept().own.insert(session.clone(), secret);
        if let Some(secret) = before {
            self.kept().received.push((session.clone(), ReceivedSecret { secret, sender: None }));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for Store {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        Ok(self.kept().own.get(session).cloned())
    }

    fn repository(&self, _: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        Ok(None)
    }

    fn session(&self, _: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        Ok(None)
    }

    fn record(&self, _: &[DeliveryReport]) -> Result<(), StoreError> {
        Ok(())
    }

    fn received_secrets(&self, _: &UserId, session: &SessionId) -> Result<Vec<ReceivedSecret>, StoreError> {
        let kept = self.kept();
        let of_session = kept.received.iter().rev().filter(|(of, _)| of == session);
        Ok(of_session.map(|(_, received)| received.clone()).collect())
    }

    fn keep_received_secret(
        &self,
        _: &UserId,
        session: &SessionId,
        received: &ReceivedSecret,
    ) -> Result<(), StoreError> {
        let received = (session.clone(), received.clone());
        let mut kept = self.kept();
        if !kept.received.contains(&received) {
            kept.received.push(received);
        }
        Ok(())
    }

    fn sender_keys(&self, _: &UserId, sender: &DeviceId) -> Result<Vec<String>, StoreError> {
        let kept = self.kept();
        let senders = kept.received.iter().filter_map(|(_, received)| received.sender.as_ref());
        Ok(senders.filter(|key| key.device_id == *sender).map(|key| key.public_key.clone()).collect())
    }
}

/// The future's result. Nothing in this simulation waits, so the future is ready at once.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
