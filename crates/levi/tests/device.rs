//! A device in a folder: what it keeps, what it refuses, and that the next start finds it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use levi::{
    CodingSession, Device, DeviceError, DeviceFolder, DeviceOptions, LeviConfig, MessageSyncRequest,
    Repository, random_uuid,
};
use levi_testkit::supabase::{FakeSupabase, SignUps};
use levi_transport::{SignUpError, Table};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a long password";

fn server() -> FakeSupabase {
    let server = FakeSupabase::start().unwrap();
    server.add_user(EMAIL, PASSWORD).unwrap();
    server
}

fn options(server: &FakeSupabase) -> DeviceOptions {
    DeviceOptions::new(server.url(), server.publishable_key())
}

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
    let id = device.register("laptop", "desktop").await.unwrap();
    let cursor = device.reader().unwrap().changes(None, 10).await.unwrap().cursor;
    device.folder().save_cursor("viewer", &cursor).unwrap();
    assert!(matches!(device.folder().save_cursor("../x", &cursor), Err(DeviceError::CursorName)));
    drop(device);

    let device = Device::open(&path, DeviceOptions::default()).unwrap();
    assert_eq!(device.user_id().await.unwrap(), Some(user));
    assert_eq!(device.register("renamed", "desktop").await.unwrap(), id, "the same device again");
    assert_eq!(server.row_count(Table::Devices).unwrap(), 1);
    assert_eq!(device.folder().load_cursor("viewer").unwrap(), Some(cursor));
    assert_eq!(device.folder().load_cursor("other").unwrap(), None);
    assert_eq!(device.devices().await.unwrap()[0].name, "renamed");
    let levi = device.levi(LeviConfig::default()).unwrap();
    levi.start().unwrap();
    assert!(device.folder().outbox_path().starts_with(&path));
    assert!(device.folder().outbox_path().exists());
    device.sign_out().await.unwrap();
    assert_eq!(device.user_id().await.unwrap(), None);
    assert_eq!(DeviceFolder::new(Some(path)).device_id().unwrap(), Some(id), "keys stay");
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

/// A project that confirms addresses answers as if a taken one were new, so that nobody learns who has an account.
#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_signs_in_or_waits_for_a_mail_and_promises_none_for_a_taken_address() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let device = |name: &str| Device::open(folder.path().join(name), options(&server)).unwrap();
    let [at_once, confirmed, taken] = ["at-once", "confirmed", "taken"].map(device);
    assert!(at_once.sign_up("new@example.org", &PASSWORD.into()).await.unwrap().is_some());
    assert!(at_once.user_id().await.unwrap().is_some());
    let second = at_once.sign_up("newer@example.org", &PASSWORD.into()).await;
    assert!(matches!(second, Err(DeviceError::OtherUser)), "a folder is one user's: {second:?}");

    server.set_sign_ups(SignUps::Confirmed);
    assert_eq!(confirmed.sign_up("ben@example.org", &PASSWORD.into()).await.unwrap(), None);
    assert!(!confirmed.folder().path().exists());
    server.confirm_email("ben@example.org");
    confirmed.sign_in("ben@example.org", &PASSWORD.into()).await.unwrap();
    for sign_ups in [SignUps::Confirmed, SignUps::AtOnce] {
        server.set_sign_ups(sign_ups);
        let refused = taken.sign_up(EMAIL, &PASSWORD.into()).await;
        assert!(matches!(refused, Err(DeviceError::SignUp(SignUpError::AlreadyRegistered))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_one_device_begins_is_readable_on_the_other() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let [laptop, phone] =
        ["laptop", "phone"].map(|name| Device::open(folder.path().join(name), options(&server)).unwrap());
    for (device, name) in [(&laptop, "laptop"), (&phone, "phone")] {
        device.sign_in(EMAIL, &PASSWORD.into()).await.unwrap();
        device.register(name, "desktop").await.unwrap();
    }
    let levi = laptop.levi(LeviConfig::default()).unwrap();
    levi.start().unwrap();
    let repository = Repository::new(random_uuid(), "parser", "/home/ada/parser");
    let session = CodingSession::new(random_uuid(), repository.id.clone());
    assert!(laptop.begin_session(&levi, &repository, &session).await.unwrap().is_done());
    let request = MessageSyncRequest {
        message_id: "message-1".into(),
        session_id: session.id.clone(),
        sequence_number: 1,
        content: "hello".into(),
    };
    let receipt = levi.enqueue_durable(request).await.unwrap();
    levi.synced(&receipt).await.unwrap();
    let page = phone.reader().unwrap().changes(None, 10).await.unwrap();
    assert_eq!(page.changes[0].content.as_deref().unwrap(), "hello");
    laptop.folder().save_cursor("viewer", &page.cursor).unwrap();
    #[cfg(unix)]
    for (path, mode) in [("cursors", 0o700), ("cursors/viewer", 0o600), ("project.json", 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found =
            std::fs::metadata(laptop.folder().path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path} is its owner's alone");
    }
}
