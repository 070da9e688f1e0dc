//! When rows that the server has are removed from the outbox.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::time::Duration;

use harness::{Harness, accepted};
use levi_core::LeviConfig;
use levi_core::engine::Event;
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Encryption, NewRow, OutboxStore as _};
use levi_testkit::outbox::{FaultyOutbox, OutboxFaults};
use levi_types::{Clock as _, Wall};
use tokio::sync::oneshot;

const SESSIONS: usize = 8;
const ROWS: usize = 8_000;

/// A backlog of sessions that wrote in turn, so that their rows share pages of a file.
fn backlog() -> (Harness, OutboxFaults) {
    let mut outbox = MemoryOutbox::new(u64::MAX);
    let row = |number: usize| {
        NewRow::message(
            format!("s{}", number % SESSIONS).as_str().into(),
            (number / SESSIONS) as i64,
            format!("m{number}").as_str().into(),
            format!(
                r#"{{"session_id":"s{}","sequence_number":{},"content_nonce":""}}"#,
                number % SESSIONS,
                number / SESSIONS
            )
            .into(),
            Encryption::SessionKey,
            Wall::default(),
        )
    };
    outbox.commit(&[], &(0..ROWS).map(row).collect::<Vec<_>>()).unwrap();
    let outbox = FaultyOutbox::new(outbox);
    let faults = outbox.faults();
    (Harness::on(outbox, LeviConfig::default()), faults)
}

#[test]
fn the_rows_of_requests_that_are_in_flight_together_are_removed_together() {
    let (mut harness, faults) = backlog();
    assert_eq!(harness.open.iter().map(|(_, rows)| rows.len()).sum::<usize>(), 2_000, "all sessions at once");
    let before = faults.counts().commits;
    harness.settle(Duration::from_secs(1), |_| accepted());
    assert_eq!(harness.status().totals.pending_rows, 0);
    assert_eq!(harness.arrived.values().map(Vec::len).sum::<usize>(), ROWS);
    let commits = faults.counts().commits - before;
    assert!(commits <= 6, "{commits} commits for {} requests", harness.requests);
}

#[test]
fn an_acknowledgement_waits_no_longer_than_a_moment_for_others() {
    let (mut harness, _) = backlog();
    harness.answer(|_| accepted());
    assert_eq!(harness.status().totals.pending_rows, ROWS as u64);
    let at = harness.engine.timeout().unwrap();
    assert!(at <= harness.clock.now().monotonic.after(Duration::from_millis(50)));
    harness.clock.advance_to(at);
    harness.tell_nothing();
    assert_eq!(harness.status().totals.pending_rows, ROWS as u64 - 500);
}

#[test]
fn a_caller_that_waits_for_a_row_waits_for_no_other_answer() {
    let (mut harness, _) = backlog();
    let session = harness.session("lone");
    let receipt = harness.enqueue(&session, 1).unwrap();
    let (reply, mut synced) = oneshot::channel();
    harness.tell(Event::Watch { receipt, reply });
    while !harness.arrived.contains_key("lone") {
        harness.answer(|_| accepted());
    }
    assert!(!harness.open.is_empty(), "others are in flight");
    assert!(matches!(synced.try_recv(), Ok(Ok(()))));
}
