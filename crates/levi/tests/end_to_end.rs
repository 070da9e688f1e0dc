//! What a user does on one device is readable on the others, and by nobody else.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod world;

use std::time::Duration;

use world::{PATH, World, database_key, read_all, request, secret};

/// The main promise, over real sockets and files: session, secret and messages on one device, read on two.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_writes_the_others_read_and_the_server_cannot() {
    let world = World::new(3).await;
    let key = database_key();
    let store = world.store(&key);
    let session = world.session("one");
    store.save_session(&session).unwrap();
    let contents = ["the first secret plan", "", "nul \0 and \u{1F980}", "the last secret plan"];
    let scanner = world.server.scan_for(["the first secret plan", "the last secret plan", PATH]);
    let levi = world.levi(world.config(), store.clone(), &key);
    let (device, device_key) = world.device_key(0);
    let sync = levi.session_sync(device, device_key).unwrap();
    let secret = secret();
    store.save_secret(&session.id, &secret).unwrap();

    let report = sync.sync_new_session(&session.id, &world.repository, &secret).await.unwrap();
    assert!(report.is_done(), "{report:?}");
    let mut receipts = Vec::new();
    for (number, content) in (1..).zip(contents) {
        receipts.push(levi.enqueue_durable(request(&session.id, number, content)).await.unwrap());
    }
    for receipt in &receipts {
        levi.synced(receipt).await.unwrap();
    }

    let expected: Vec<(i64, String)> = (1..).zip(contents.map(str::to_owned)).collect();
    for device in [1, 2] {
        assert_eq!(read_all(&world.reader(device), &session.id).await, expected);
    }
    // The repository's path is sent in the clear: the scanner is not blind.
    let seen: Vec<usize> = scanner.leaks().iter().map(|leak| leak.text).collect();
    assert_eq!(seen, [2]);
    assert!(world.server.order_violations().is_empty());
    let left = levi.shutdown(Duration::from_secs(5)).await;
    assert_eq!((left.pending, left.parked, left.not_stored), (0, 0, 0));
}
