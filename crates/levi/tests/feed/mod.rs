//! A device that writes sessions, and what another reads of the change feed.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; a test that cannot go on stops"
)]

use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, database_key, request, secret};
use levi::transport::{Table, Upsert};
use levi::{Arrival, Change, ChangeCursor, Levi, Reader, SessionId, SessionSyncService, SqliteSessionStore};
use levi_outbox::backoff::Backoff;
use levi_transport::rows::encode_message_row;

pub(crate) const QUICK: Backoff =
    Backoff { base: Duration::from_millis(1), max: Duration::from_millis(4), jitter: 0.0 };

/// The first device, which writes.
pub(crate) struct Writer {
    pub(crate) world: World,
    pub(crate) store: Arc<SqliteSessionStore>,
    pub(crate) levi: Levi,
    pub(crate) sync: SessionSyncService,
}

impl Writer {
    pub(crate) async fn new(devices: usize) -> Self {
        Self::on(World::new(devices).await)
    }

    pub(crate) fn on(world: World) -> Self {
        let key = database_key();
        let store = world.store(&key);
        let levi = world.levi(world.config(), store.clone(), &key);
        let (device, device_key) = world.device_key(0);
        let sync = levi.session_sync(device, device_key).unwrap();
        Self { world, store, levi, sync }
    }

    /// A session that every device can read.
    pub(crate) async fn session(&self, name: &str) -> SessionId {
        let session = self.unshared(name).await;
        self.share(&session).await;
        session
    }

    /// A session whose secret is not on the server yet.
    pub(crate) async fn unshared(&self, name: &str) -> SessionId {
        let session = self.world.session(name);
        self.store.save_session(&session).unwrap();
        self.store.save_secret(&session.id, &secret()).unwrap();
        self.sync.sync_repository(&self.world.repository).await.unwrap();
        self.sync.sync_session(&session.id, &self.world.repository, "active").await.unwrap();
        session.id
    }

    pub(crate) async fn share(&self, session: &SessionId) {
        let secret = levi::SessionSecret::parse(
            levi::SessionStore::session_secret(&*self.store, session).unwrap().unwrap().expose(),
        );
        self.sync.distribute_secret_now(session, &secret.unwrap()).await.unwrap();
    }

    pub(crate) async fn write(&self, session: &SessionId, numbers: impl IntoIterator<Item = i64>) {
        for number in numbers {
            let message = request(session, number, &format!("text {number}"));
            let receipt = self.levi.enqueue_durable(message).await.unwrap();
            self.levi.synced(&receipt).await.unwrap();
        }
    }

    pub(crate) async fn edit(&self, session: &SessionId, number: i64, text: &str) {
        let receipt = self.levi.replace_durable(request(session, number, text)).await.unwrap();
        self.levi.synced(&receipt).await.unwrap();
    }

    pub(crate) fn reader(&self) -> Reader {
        self.world.reader(1).with_retries(QUICK, 4)
    }

    /// Reads of the feed.
    pub(crate) fn polls(&self) -> usize {
        self.world
            .server
            .requests()
            .iter()
            .filter(|request| request.target.contains("order=change_id"))
            .count()
    }
}

/// A row that nobody sealed.
pub(crate) fn garbage(world: &World, session: &SessionId, number: i64, bytes: usize) {
    let mut body = vec![b'['];
    encode_message_row(&mut body, session, number, &vec![7; bytes], &[7; 24]);
    body.push(b']');
    let columns = Table::Messages.columns().into();
    world.server.seed(Upsert { table: Table::Messages, columns, body }).unwrap();
}

pub(crate) fn shown(change: &Change) -> (&str, i64, Option<&str>, Arrival) {
    let Change { session_id, sequence_number, content, arrival } = change;
    (session_id.as_str(), *sequence_number, content.as_deref().ok(), *arrival)
}

/// The changes up to the end, through the cursor's text, in pages of `limit`.
pub(crate) async fn read_to_end(
    reader: &Reader,
    cursor: Option<ChangeCursor>,
    limit: u32,
) -> (Vec<Change>, Option<ChangeCursor>) {
    let (mut changes, mut cursor) = (Vec::new(), cursor);
    loop {
        let page = reader.changes(cursor.as_ref(), limit).await.unwrap();
        assert!(page.changes.len() <= limit as usize);
        changes.extend(page.changes);
        cursor = Some(page.cursor.to_string().parse().unwrap());
        if !page.more {
            return (changes, cursor);
        }
    }
}

/// Follows until the change that `done` wants has come.
pub(crate) async fn until(follow: &mut levi::Follow<'_>, done: impl Fn(&Change) -> bool) -> Vec<Change> {
    let mut changes = Vec::new();
    let all = async {
        while !changes.iter().any(&done) {
            changes.extend(follow.next().await.unwrap().changes);
        }
    };
    // Reached only by a test that fails.
    if tokio::time::timeout(Duration::from_secs(60), all).await.is_err() {
        panic!("what the test waits for does not come");
    }
    changes
}
