//! What the outbox takes of the disk: bytes in its folder.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod daemon;

use std::fs;
use std::path::Path;
use std::time::Duration;

use daemon::{Daemon, until};
use levi::Levi;
use levi_outbox::rusqlite::Connection;
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi_outbox::{Change, DueQuery, Encryption, NewRow, OutboxStore as _, Progress};
use levi_types::Wall;

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

/// Moving the log syncs, and a message that comes meanwhile would wait for that. Pages that were cut off leave the file when
/// the log is moved.
#[test]
fn no_step_moves_the_log_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    fill_and_take_half(&mut outbox);
    let other = Connection::open(&path).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let before = length(&path);
    // Each page that is cut off belongs to the half that is left, and is moved first.
    while outbox.give_back(Duration::from_millis(20)).unwrap().unwrap().progress != Progress::Underway {
        assert_eq!(length(&path), before);
    }
    assert!(length(&folder.path().join("outbox.sqlite-wal")) > 5 * MIB, "a commit would have moved the log");
    while outbox.give_back(Duration::from_millis(1)).unwrap().unwrap().progress != Progress::None {}
    assert!(length(&path) < before - 15 * MIB);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}

fn fill_and_take_half(outbox: &mut SqliteOutbox) {
    let at = Wall::from_millis(1_000);
    for number in 0..40 {
        let (id, payload) = (format!("m{number}"), vec![1; MIB as usize]);
        let row =
            NewRow::message("s".into(), number, id.as_str().into(), payload, Encryption::SessionKey, at);
        outbox.commit(&[], &[row]).unwrap();
    }
    let query = DueQuery {
        user: None,
        now: at,
        horizon: at,
        except: &[],
        max_lanes: 1,
        heads_per_lane: 20,
        max_heads: 20,
    };
    let lane = outbox.due(query).unwrap().lanes.remove(0);
    let rows = lane.heads.iter().map(|head| head.key).collect();
    outbox.commit(&[Change::Acknowledge { lane: lane.lane, rows, at }], &[]).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}
