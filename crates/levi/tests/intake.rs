//! What Levi takes, refuses and keeps, and what lies on the disk meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levi::outbox::OutboxError;
use levi::types::{DeliveryReport, InvalidMessage, SecretString, StoreError};
use levi::{
    CodingSession, EnqueueError, Levi, LeviConfig, Repository, RepositoryId, SessionId, SessionStore,
    StartError,
};
use tokio::task::JoinSet;
use world::{World, database_key, request, secret};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_is_refused_with_its_reason_and_the_next_good_one_is_taken() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let config = LeviConfig { max_message_bytes: 1000, max_queued_bytes: 3000, ..world.config() };
    let waiting = Levi::new(config.clone(), world.server.url(), "key", store.clone(), key.clone());
    let session = world.session("one").id;
    assert!(matches!(waiting.enqueue(request(&session, 1, "")), Err(EnqueueError::NotStarted)));

    let levi = world.levi(config, store, &key);
    let refusal = |request| levi.enqueue(request).unwrap_err();
    let big = "x".repeat(1001);
    let nameless = levi::MessageSyncRequest { message_id: "".into(), ..request(&session, 1, "") };
    assert!(matches!(refusal(nameless), EnqueueError::Invalid(InvalidMessage::EmptyId { .. })));
    assert!(matches!(
        refusal(request(&session, -1, "")),
        EnqueueError::Invalid(InvalidMessage::NegativeSequenceNumber(-1))
    ));
    assert!(matches!(
        refusal(request(&session, 1, &big)),
        EnqueueError::Invalid(InvalidMessage::TooLarge { bytes: 1001, limit: 1000 })
    ));
    levi.enqueue_durable(request(&session, 1, "good")).await.unwrap();
    let other = levi::MessageSyncRequest { message_id: "another".into(), ..request(&session, 1, "other") };
    let taken = levi.enqueue_durable(other).await;
    assert!(matches!(taken, Err(EnqueueError::SequenceConflict { sequence_number: 1, .. })), "{taken:?}");

    levi.shutdown(Duration::from_secs(1)).await;
    assert!(matches!(levi.enqueue(request(&session, 2, "late")), Err(EnqueueError::Stopped)));
    assert!(matches!(levi.start(), Err(StartError::AlreadyStarted)));
}

/// The store may block, wait for the daemon's own tasks, or be locked by who hands a message in.
#[tokio::test(flavor = "current_thread")]
async fn the_daemons_store_is_asked_for_a_secret_on_levis_own_thread_only() {
    struct Watched(Arc<dyn SessionStore>, Mutex<Vec<Option<String>>>);
    impl SessionStore for Watched {
        fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
            self.1.lock().unwrap().push(std::thread::current().name().map(str::to_owned));
            self.0.session_secret(session)
        }
        fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
            self.0.repository(repository)
        }
        fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
            self.0.session(session)
        }
        fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
            self.0.record(reports)
        }
    }
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one").id;
    store.save_secret(&session, &secret()).unwrap();
    let watched = Arc::new(Watched(store, Mutex::default()));
    let store = Arc::clone(&watched) as Arc<dyn SessionStore>;
    let levi = Levi::builder(world.http(), store).config(world.config()).database_key(key).build().unwrap();
    levi.start().unwrap();
    for number in 1..=3 {
        levi.enqueue(request(&session, number, "x")).unwrap();
        levi.enqueue_durable(request(&session, number + 10, "x")).await.unwrap();
    }
    levi.shutdown(Duration::from_secs(1)).await;
    let asked = watched.1.lock().unwrap();
    assert_eq!(*asked, [Some("levi".to_owned())], "once, and by its own thread");
}

/// Several transactions' worth, so that some are told beside the thread that stores the next ones.
#[tokio::test(flavor = "current_thread")]
async fn each_of_a_crowd_hears_of_its_own_message_and_all_of_them_before_levi_has_stopped() {
    let world = World::new(1).await;
    let key = database_key();
    let session = world.session("one").id;
    let levi = Arc::new(world.levi(world.config(), world.store(&key), &key));
    levi.clear_context().await;
    let mut callers = JoinSet::new();
    let come = Arc::new(AtomicUsize::new(0));
    for number in 0..1_500 {
        let (levi, come, request) = (Arc::clone(&levi), Arc::clone(&come), request(&session, number, "x"));
        callers.spawn(async move {
            come.fetch_add(1, Ordering::Relaxed);
            (number, levi.enqueue_durable(request).await)
        });
    }
    while come.load(Ordering::Relaxed) < callers.len() {
        tokio::task::yield_now().await;
    }
    let report = levi.shutdown(Duration::from_secs(30)).await;
    let mut stored = 0;
    while let Some(ended) = callers.join_next().await {
        match ended.unwrap() {
            (number, Ok(receipt)) => {
                assert_eq!(receipt.sequence_number(), number);
                stored += 1;
            }
            (_, Err(error)) => assert!(matches!(error, EnqueueError::Stopped), "{error}"),
        }
    }
    assert_eq!((report.pending, report.not_stored), (stored, 0));
    assert!(stored >= 1_000, "only {stored} messages were stored at once");
}

/// Nothing is ever written in the clear: with neither key there, intake says so.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_a_message_is_refused() {
    let world = World::new(1).await;
    let store = world.store(&database_key());
    let levi = Levi::builder(world.http(), store).config(world.config()).build().unwrap();
    levi.start().unwrap();
    let session = world.session("one").id;
    assert!(matches!(levi.enqueue(request(&session, 1, "x")), Err(EnqueueError::NoKey { .. })));
    assert!(matches!(levi.enqueue_durable(request(&session, 1, "x")).await, Err(EnqueueError::NoKey { .. })));
    levi.shutdown(Duration::from_secs(1)).await;
}

/// Neither a sealed message nor one that waits for its key can be found on the disk, nor a secret.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_on_the_disk_shows_no_content_and_no_secret() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let secret = secret();
    let (with_key, without) = (world.session("with key").id, world.session("without key").id);
    store.save_secret(&with_key, &secret).unwrap();
    let levi = world.levi(world.config(), store.clone(), &key);
    levi.clear_context().await;
    for session in [&with_key, &without] {
        levi.enqueue_durable(request(session, 1, "the treasure lies under the oak")).await.unwrap();
    }
    let stored = store.session_secret(&with_key).unwrap().unwrap();
    assert_eq!(stored.expose(), secret.expose());
    let mut files = 0;
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        // The wake-up socket beside the outbox is no file.
        if !path.is_file() {
            continue;
        }
        files += 1;
        for needle in ["treasure", secret.expose(), world::PATH] {
            assert!(!holds(&path, needle.as_bytes()), "{} shows {needle}", path.display());
        }
        // The search is not blind: the session's id is there in the clear.
        if path.ends_with("outbox.sqlite-wal") {
            assert!(holds(&path, with_key.as_str().as_bytes()));
        }
    }
    assert!(files >= 4, "outbox and store, each with its log");
    levi.shutdown(Duration::from_secs(1)).await;
}

fn holds(path: &Path, needle: &[u8]) -> bool {
    std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
}

/// The second process on one outbox is told, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_levi_on_the_same_outbox_is_told_and_touches_nothing() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let levi = world.levi(world.config(), store.clone(), &key);
    levi.clear_context().await;
    let session = world.session("one").id;
    levi.enqueue_durable(request(&session, 1, "mine")).await.unwrap();
    let before = std::fs::read(world.outbox_path()).unwrap();

    let second = Levi::new(world.config(), world.server.url(), "key", store, key);
    let refused = second.start();
    assert!(matches!(refused, Err(StartError::Outbox(OutboxError::Owned { .. }))), "{refused:?}");
    assert_eq!(std::fs::read(world.outbox_path()).unwrap(), before);
    levi.shutdown(Duration::from_secs(1)).await;
}

/// At the queue's bound the caller is told at once; one who waits gets room.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_at_the_bound_and_nothing_that_was_taken_is_lost() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let config = LeviConfig { max_message_bytes: 10_000, max_queued_bytes: 40_000, ..world.config() };
    let levi = world.levi(config, store, &key);
    levi.clear_context().await;
    let session = world.session("one").id;
    let content = "x".repeat(10_000);
    let (mut taken, mut refused) = (0_u64, 0);
    while refused == 0 {
        match levi.enqueue(request(&session, taken as i64, &content)) {
            Ok(()) => taken += 1,
            Err(EnqueueError::QueueFull { limit: 40_000 }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    levi.enqueue_durable(request(&session, taken as i64, &content)).await.unwrap();
    let left = levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!((left.pending, left.not_stored), (taken + 1, 0));
}

/// The second process's clean-up must not wait for a thread that never ran.
#[tokio::test(flavor = "multi_thread")]
async fn a_levi_that_could_not_start_shuts_down_at_once() {
    let world = World::new(1).await;
    let key = database_key();
    let store = world.store(&key);
    let levi = world.levi(world.config(), store.clone(), &key);
    let second = Levi::new(world.config(), world.server.url(), "key", store, key);
    assert!(second.start().is_err());
    second.shutdown(Duration::from_secs(3600)).await;
    assert!(matches!(
        second.enqueue_durable(request(&world.session("one").id, 1, "x")).await,
        Err(EnqueueError::Stopped)
    ));
    levi.shutdown(Duration::from_secs(1)).await;
}
