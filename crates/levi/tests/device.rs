//! A device in a folder: what it keeps, what it refuses, and that the next start finds it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod ada;

use std::path::Path;
use std::time::Duration;

use ada::{EMAIL, PASSWORD, options, server};
use levi::types::AuthError;
use levi::{
    CodingSession, Device, DeviceError, DeviceFolder, DeviceOptions, Levi, LeviConfig, MessageSyncRequest,
    PauseReason, ReadError, Repository, SessionId, SessionSecret,
};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::FakeSupabase;
use levi_transport::Table;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_start_finds_what_the_first_one_left() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("laptop");
    let refused = Device::open(&path, DeviceOptions::default());
    assert!(matches!(refused, Err(DeviceError::NoProject)));
    let device = Device::open(&path, options(&server)).unwrap();
    assert!(device.sign_in(EMAIL, &"a wrong password".into()).await.is_err());
    assert!(!path.exists(), "a refused sign-in leaves nothing behind");
    assert!(matches!(device.register("laptop", "desktop").await, Err(DeviceError::NotSignedIn)));
    assert!(matches!(device.reader(), Err(DeviceError::NotRegistered)));
    let user = device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    let early = device.levi(LeviConfig::default()).unwrap();
    let id = device.register("laptop", "desktop").await.unwrap();
    let refused = device.session_sync(&early).err();
    assert!(matches!(refused, Some(DeviceError::RegisteredLater { .. })), "{refused:?}");
    drop(early);
    device.session_sync(&device.levi(LeviConfig::default()).unwrap()).unwrap();
    let cursor = device.reader().unwrap().changes(None, 10).await.unwrap().cursor;
    let stored = device.folder().cursor("viewer").unwrap();
    stored.save(&cursor).unwrap();
    assert!(matches!(device.folder().cursor("../x"), Err(DeviceError::CursorName)));
    // Two that follow by one cursor would skip what the other has read.
    let refused = DeviceFolder::new(Some(path.clone())).cursor("viewer").unwrap_err();
    assert!(matches!(refused, DeviceError::CursorInUse { .. }), "{refused}");
    drop(stored);
    drop(device);

    let device = Device::open(&path, DeviceOptions::default()).unwrap();
    assert_eq!(device.user_id().await.unwrap(), Some(user));
    assert_eq!(device.register("renamed", "desktop").await.unwrap(), id, "the same device again");
    assert_eq!(server.row_count(Table::Devices).unwrap(), 1);
    assert_eq!(device.folder().cursor("viewer").unwrap().load().unwrap(), Some(cursor));
    assert_eq!(device.folder().cursor("other").unwrap().load().unwrap(), None);
    assert_eq!(device.devices().await.unwrap()[0].as_ref().unwrap().name, "renamed");
    let levi = device.levi(LeviConfig::default()).unwrap();
    levi.start().unwrap();
    assert!(device.folder().outbox_path().starts_with(&path));
    assert!(device.folder().outbox_path().exists());
    device.sign_out().await.unwrap();
    assert_eq!(device.user_id().await.unwrap(), None);
    assert_eq!(DeviceFolder::new(Some(path)).device_id().unwrap(), Some(id), "keys stay");
}

/// A program that only reads has no worker that would hear of the sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_signed_out_goes_on_after_a_sign_in_by_another_process() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("laptop");
    let device = Device::open(&path, options(&server)).unwrap();
    device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    device.register("laptop", "desktop").await.unwrap();
    let reader = device.reader().unwrap();
    reader.changes(None, 10).await.unwrap();
    device.sign_out().await.unwrap();
    for _ in 0..2 {
        let refused = reader.changes(None, 10).await.unwrap_err();
        assert!(matches!(refused, ReadError::Auth(AuthError::SignedOut)), "{refused}");
    }
    // As `levi login` does.
    let command = Device::open(&path, DeviceOptions::default()).unwrap();
    command.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    reader.changes(None, 10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_users_in_one_project_and_of_no_later_version() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    server.add_user("ben@example.org", PASSWORD).unwrap();
    let path = folder.path().join("laptop");
    let device = Device::open(&path, options(&server)).unwrap();
    let user = device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    assert!(matches!(device.sign_in("ben@example.org", &PASSWORD.into()).await, Err(DeviceError::OtherUser)));
    assert_eq!(device.user_id().await.unwrap(), Some(user), "the first one is still signed in");
    let elsewhere = DeviceOptions::new("https://other.example.org", "sb_publishable_x");
    assert!(matches!(Device::open(&path, elsewhere), Err(DeviceError::OtherProject)));

    let record = path.join("project.json");
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"layout\": 1"), "{text}");
    std::fs::write(&record, text.replace("\"layout\": 1,", "")).unwrap();
    assert!(Device::open(&path, options(&server)).is_ok(), "a folder from before layouts were numbered");
    std::fs::write(&record, text.replace("\"layout\": 1", "\"layout\": 2")).unwrap();
    assert!(matches!(Device::open(&path, options(&server)), Err(DeviceError::LaterLayout { .. })));
}

/// A device with a started Levi and one session on the server.
async fn at_work(server: &FakeSupabase, path: &Path) -> (Device, Levi, SessionId) {
    let device = Device::open(path, options(server)).unwrap();
    device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    device.register("laptop", "desktop").await.unwrap();
    let levi = device.levi(LeviConfig { flush_interval: Duration::ZERO, ..LeviConfig::default() }).unwrap();
    levi.start().unwrap();
    let store = device.session_store().unwrap();
    let repository = Repository::new(uuid_of("repository", "parser"), "parser", "/home/ada/parser");
    let session = CodingSession::new(uuid_of("session", "one"), repository.id.clone());
    store.save_repository(&repository).unwrap();
    store.save_session(&session).unwrap();
    store.save_secret(&session.id, &secret()).unwrap();
    let sync = device.session_sync(&levi).unwrap();
    sync.sync_new_session(&session.id, &repository.id, &secret()).await.unwrap();
    (device, levi, session.id)
}

/// What is enqueued after a sign-out waits for the next sign-in, for which nobody has to tell the
/// running Levi.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_and_a_sign_in_reach_a_levi_that_runs() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let (device, levi, session) = at_work(&server, &folder.path().join("laptop")).await;
    let first = levi.enqueue_durable(request(&session, 1)).await.unwrap();
    levi.synced(&first).await.unwrap();

    device.sign_out().await.unwrap();
    let mut status = levi.watch_status();
    let signed_out = |status: &levi::Status| status.paused == Some(PauseReason::SignedOut);
    status.wait_for(signed_out).await.unwrap();
    let second = levi.enqueue_durable(request(&session, 2)).await.unwrap();
    levi.network_changed();
    status.wait_for(|status| status.totals.pending_rows == 1).await.unwrap();
    assert_eq!(server.messages(&session).unwrap().len(), 1);

    device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    levi.synced(&second).await.unwrap();
    assert_eq!(server.messages(&session).unwrap().len(), 2);
    levi.shutdown(Duration::ZERO).await;
}

/// A process that begins with nobody signed in asks for the device list at the first sign-in.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_after_a_start_without_one_sends_what_waits() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("laptop");
    let (device, levi, session) = at_work(&server, &path).await;
    device.sign_out().await.unwrap();
    levi.shutdown(Duration::from_secs(5)).await;
    drop((device, levi));
    let device = Device::open(&path, DeviceOptions::default()).unwrap();
    let levi = device.levi(LeviConfig::default()).unwrap();
    levi.start().unwrap();
    let receipt = levi.enqueue_durable(request(&session, 1)).await.unwrap();
    device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    assert_eq!(server.messages(&session).unwrap().len(), 1);
    levi.shutdown(Duration::ZERO).await;
}

/// `levi login` beside a daemon that waits for somebody to sign in.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_with_another_process_wakes_a_levi_that_runs() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("laptop");
    let (device, levi, session) = at_work(&server, &path).await;
    device.sign_out().await.unwrap();
    let receipt = levi.enqueue_durable(request(&session, 1)).await.unwrap();
    let command = Device::open(&path, DeviceOptions::default()).unwrap();
    command.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    levi.shutdown(Duration::ZERO).await;
}

/// `levi logout` beside a daemon: neither token nor keys stay in its memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_out_with_another_process_stops_a_levi_that_runs() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("laptop");
    let (device, levi, session) = at_work(&server, &path).await;
    let first = levi.enqueue_durable(request(&session, 1)).await.unwrap();
    levi.synced(&first).await.unwrap();
    let before = server.stats().requests;

    let command = Device::open(&path, DeviceOptions::default()).unwrap();
    command.folder().sign_out().unwrap();
    let mut status = levi.watch_status();
    let signed_out = status.wait_for(|status| status.paused == Some(PauseReason::SignedOut));
    tokio::time::timeout(Duration::from_secs(10), signed_out).await.expect("the token is dropped").unwrap();
    let second = levi.enqueue_durable(request(&session, 2)).await.unwrap();
    levi.network_changed();
    status.wait_for(|status| status.totals.pending_rows == 1).await.unwrap();
    assert_eq!(server.stats().requests, before, "the token was not used again");
    assert!(device.user_id().await.unwrap().is_none());

    command.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
    levi.synced(&second).await.unwrap();
    levi.shutdown(Duration::ZERO).await;
}

fn request(session: &SessionId, sequence_number: i64) -> MessageSyncRequest {
    MessageSyncRequest {
        message_id: format!("message {sequence_number}").into(),
        session_id: session.clone(),
        sequence_number,
        content: "content".into(),
    }
}

fn secret() -> SessionSecret {
    SessionSecret::generate(&mut StdRng::seed_from_u64(1))
}
