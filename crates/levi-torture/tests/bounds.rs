//! Limits under load. `cargo xtask crash flood --minutes 10` runs longer.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a test that cannot go on stops")]

mod daemon;

use std::path::Path;
use std::time::Duration;

use daemon::{Daemon, synced, until};
use levi::{EnqueueError, LeviConfig, SessionId, SyncContext};
use levi_torture::content::message;
use levi_torture::environment::session_id;
use levi_torture::flood::{Flood, MEMORY_LIMIT, run};
use levi_transport::Table;

/// Memory is bounded whatever the backlog.
#[test]
fn a_daemon_that_floods_levi_while_the_server_is_down_stays_under_the_stated_limit() {
    // The large ones must fill the outbox on a busy machine too.
    for (bytes, seconds) in [(200, 3), (400_000, 10)] {
        let folder = tempfile::tempdir().unwrap();
        let flood = Flood {
            folder: folder.path().to_owned(),
            lasting: Duration::from_secs(seconds),
            max_pending_bytes: 24 << 20,
            bytes,
        };
        let tally = run(Path::new(env!("CARGO_BIN_EXE_levi-torture")), &flood).unwrap();
        println!("{bytes} bytes each:\n{tally}");
        assert!(tally.peak_bytes < MEMORY_LIMIT, "{tally}");
        assert!(tally.pending_bytes <= 24 << 20, "{tally}");
        assert_eq!(tally.other, 0, "{tally}");
        assert!(tally.acknowledged > 0 && tally.accepted > 0, "{tally}");
        assert!(bytes < 100_000 || tally.outbox_full > 0, "{tally}");
    }
}

/// Disk is bounded by `max_pending_bytes`: at the limit both `enqueue` and `enqueue_durable` refuse
/// at once, nothing that was accepted is lost, and messages are accepted again as soon as the
/// server has taken some.
#[tokio::test]
async fn at_max_pending_bytes_both_ways_to_enqueue_refuse_at_once_and_accept_again_when_there_is_room() {
    let daemon = Daemon::new().await;
    let config = LeviConfig { max_pending_bytes: 100_000, ..daemon.config() };
    let levi = daemon.start(daemon.builder().config(config));
    daemon.environment.server.go_down();
    let mut number = 0;
    let refusal = loop {
        match daemon.enqueue(&levi, number + 1, 5_000).await {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, EnqueueError::OutboxFull { limit: 100_000, .. }), "{refusal:?}");
    assert!((10..=20).contains(&number), "{number} messages of 5 kB and more in 100 kB");
    until(&levi, |status| status.totals.pending_rows == number.unsigned_abs()).await;
    let refusal = levi.enqueue(message(&daemon.session, number + 1, 60_000)).unwrap_err();
    assert!(matches!(refusal, EnqueueError::OutboxFull { limit: 100_000, .. }), "{refusal:?}");

    daemon.environment.server.come_up().unwrap();
    levi.network_changed();
    until(&levi, |status| status.totals.pending_rows == 0).await;
    synced(&levi, &daemon.enqueue(&levi, number + 1, 5_000).await.unwrap()).await;
    assert_eq!(daemon.delivered(), (1..=number + 1).collect::<Vec<_>>());
}

/// A session with ten thousand rows does not delay ten sessions with one row each. With one request
/// at a time, a round trip is a request.
#[tokio::test]
async fn sessions_with_one_message_arrive_within_two_round_trips_beside_one_with_ten_thousand() {
    let small: Vec<SessionId> = (0..10).map(|number| session_id(&format!("small {number}"))).collect();
    let daemon = Daemon::with_sessions(&small).await;
    let config = LeviConfig { max_in_flight: 1, max_queued_bytes: 64 << 20, ..daemon.config() };
    let batch = config.catch_up_batch_size;
    let levi = daemon.signed_out(config);
    for number in 1..10_000 {
        levi.enqueue(message(&daemon.session, number, 50)).unwrap();
    }
    daemon.enqueue(&levi, 10_000, 50).await.unwrap();
    for session in &small {
        levi.enqueue_durable(message(session, 1, 50)).await.unwrap();
    }
    let access_token = daemon.environment.server.sign_in(&daemon.environment.user_id).unwrap().access_token;
    levi.set_context(SyncContext { access_token }).await;
    until(&levi, |status| status.totals.pending_rows == 0).await;

    let rows = daemon.environment.server.rows(Table::Messages).unwrap();
    let is_small =
        |row: &serde_json::Map<String, serde_json::Value>| row["session_id"] != daemon.session.as_str();
    let last = rows.iter().rposition(is_small).unwrap();
    assert_eq!(rows.len(), 10_010);
    assert!(last < 2 * batch + 10, "row {last} of all was the last of the small sessions");
}
