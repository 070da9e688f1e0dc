//! A session store that fails for a while: what depends on it waits, and nothing is given up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levi::{Levi, SessionId, SqliteSessionStore, Status};
use levi_types::{
    CodingSession, DeliveryReport, PortErrorKind, ReceivedSecret, Repository, RepositoryId, SecretString,
    SessionStore, StoreError, UserId,
};
use world::{World, database_key, read_all, request, secret};

/// Cannot say which secrets sessions had before, while it fails.
struct Failing {
    store: Arc<SqliteSessionStore>,
    fails: AtomicBool,
}

impl SessionStore for Failing {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        self.store.session_secret(session)
    }
    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        self.store.repository(repository)
    }
    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        self.store.session(session)
    }
    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        self.store.session_user(session)
    }
    fn signed_in(&self, user: &UserId) -> Result<(), StoreError> {
        self.store.signed_in(user)
    }
    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        self.store.record(reports)
    }
    fn received_secrets(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Vec<ReceivedSecret>, StoreError> {
        match self.fails.load(Ordering::Acquire) {
            true => Err(StoreError::new(PortErrorKind::Unavailable, "the disk is busy")),
            false => self.store.received_secrets(user, session),
        }
    }
}

/// Whether the text on the server is this device's own earlier one is not known while the store fails.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_not_taken_for_another_writers_text_while_the_store_fails() {
    let world = World::new(2).await;
    let (key, session) = (database_key(), world.session("one"));
    let store = world.store(&key);
    let failing = Arc::new(Failing { store: Arc::clone(&store), fails: AtomicBool::new(false) });
    let levi = Levi::builder(world.http(), failing.clone())
        .config(world.config())
        .database_key(key)
        .auth(world.auth.clone())
        .build()
        .unwrap();
    levi.start().unwrap();
    let (id, private) = world.device_key(0);
    let sync = levi.session_sync(id, private).unwrap();
    let (first, later) = (secret(), secret());
    store.save_session(&session).unwrap();
    store.save_secret(&session.id, &first).unwrap();
    assert!(sync.sync_new_session(&session.id, &world.repository, &first).await.unwrap().is_done());
    let receipt = levi.enqueue_durable(request(&session.id, 1, "first")).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    store.save_secret(&session.id, &later).unwrap();
    sync.distribute_secret(&session.id, &later).await.unwrap();

    failing.fails.store(true, Ordering::Release);
    let edit = levi.enqueue_durable(request(&session.id, 1, "edited")).await.unwrap();
    let has_come_out = |status: &Status| {
        let waits = status.waiting.iter().any(|waiting| waiting.reason.code == "session_store");
        waits || status.totals.parked_rows > 0
    };
    let status = levi.watch_status().wait_for(has_come_out).await.unwrap().clone();
    assert_eq!((status.totals.pending_rows, status.totals.parked_rows), (1, 0), "{status:?}");

    failing.fails.store(false, Ordering::Release);
    levi.synced(&edit).await.unwrap();
    assert_eq!(read_all(&world.reader(1), &session.id).await, [(1, "edited".to_owned())]);
    levi.shutdown(Duration::from_secs(5)).await;
}
