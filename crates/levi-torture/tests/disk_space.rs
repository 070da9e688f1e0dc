//! What the outbox takes of the disk: bytes in its folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::fs;

use daemon::{Daemon, until};
use levi::Levi;
use levi_outbox::rusqlite::Connection;

const MIB: u64 = 1 << 20;
const MESSAGES: i64 = 400;
const BYTES: usize = 60_000;

fn bytes_in(daemon: &Daemon) -> u64 {
    fs::read_dir(daemon.folder()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Fills the outbox while the server is down.
async fn fill(daemon: &Daemon, levi: &Levi) {
    daemon.environment.server.go_down();
    for number in 1..=MESSAGES {
        daemon.enqueue(levi, number, BYTES).await.unwrap();
    }
    assert!(bytes_in(daemon) > 20 * MIB, "{} bytes", bytes_in(daemon));
}

async fn drain(daemon: &Daemon, levi: &Levi) {
    daemon.environment.server.come_up().unwrap();
    levi.network_changed();
    until(levi, |status| status.totals.pending_rows == 0).await;
}

#[tokio::test]
async fn after_a_drain_the_outbox_gives_its_space_back_without_being_closed() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    fill(&daemon, &levi).await;
    drain(&daemon, &levi).await;
    // The status changes with each step.
    until(&levi, |_| bytes_in(&daemon) < 10 * MIB).await;
    assert_eq!(daemon.delivered().len(), usize::try_from(MESSAGES).unwrap());
}

#[tokio::test]
async fn a_reader_that_keeps_the_log_long_is_named_and_the_log_is_short_when_it_is_gone() {
    let daemon = Daemon::new().await;
    let levi = daemon.start(daemon.builder());
    let reader = Connection::open(daemon.folder().join("outbox.sqlite")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM levi_outbox").unwrap();
    fill(&daemon, &levi).await;
    drain(&daemon, &levi).await;
    until(&levi, |status| status.space.is_some_and(|space| space.log_is_held && space.log_bytes > 16 * MIB))
        .await;
    reader.execute_batch("COMMIT").unwrap();
    until(&levi, |status| status.space.is_some_and(|space| !space.log_is_held && space.log_bytes < 16 * MIB))
        .await;
}
