//! A new user, and a first session.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod ada;

use ada::{EMAIL, PASSWORD, options, server};
use levi::{CodingSession, Device, DeviceError, LeviConfig, MessageSyncRequest, Repository, random_uuid};
use levi_testkit::supabase::SignUps;
use levi_transport::SignUpError;

/// A project that confirms addresses answers as if a taken one were new, so that nobody learns who
/// has an account.
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
    laptop.folder().cursor("viewer").unwrap().save(&page.cursor).unwrap();
    #[cfg(unix)]
    for (path, mode) in [("cursors", 0o700), ("cursors/viewer", 0o600), ("project.json", 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found =
            std::fs::metadata(laptop.folder().path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path} is its owner's alone");
    }
}
