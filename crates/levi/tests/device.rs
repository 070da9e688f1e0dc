//! A device in a folder: what it keeps, what it refuses, and that the next start finds it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use levi::{Device, DeviceError, DeviceFolder, DeviceOptions, LeviConfig};
use levi_testkit::supabase::FakeSupabase;
use levi_transport::Table;

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
    let early = device.levi(LeviConfig::default()).unwrap();
    let id = device.register("laptop", "desktop").await.unwrap();
    let refused = device.session_sync(&early).err();
    assert!(matches!(refused, Some(DeviceError::RegisteredLater { .. })), "{refused:?}");
    drop(early);
    device.session_sync(&device.levi(LeviConfig::default()).unwrap()).unwrap();
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
