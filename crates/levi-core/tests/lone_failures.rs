//! A row that never gets through, where nothing else waits, or others do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod harness;

use std::time::Duration;

use harness::{Harness, Row, accepted, failed};
use levi_core::LeviConfig;
use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Change, OutboxStore as _};
use levi_transport::{ApiError, Verdict};
use levi_types::Clock as _;

const HOUR: Duration = Duration::from_secs(3600);

/// The third message of a session is too much for a gateway, whatever else is in its request.
fn gateway(rows: &[Row]) -> Result<(), ApiError> {
    let is_too_much = |row: &Row| (row.session_id.as_str(), row.sequence_number) == ("s", 3);
    if rows.iter().any(is_too_much) { failed(Verdict::Busy, "504") } else { accepted() }
}

#[test]
fn a_row_that_never_gets_through_is_found_where_its_session_is_alone() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=20);
    harness.settle(24 * HOUR, gateway);
    let status = harness.status();
    assert_eq!((status.totals.parked_rows, status.totals.pending_rows), (1, 0));
    let expected: Vec<i64> = (1..=20).filter(|number| *number != 3).collect();
    assert_eq!(harness.arrived["s"], expected);
}

#[test]
fn an_outage_parks_nothing_and_is_asked_no_more_often_for_the_probes() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=20);
    let (mut requests, mut probes) = (0, 0);
    harness.settle(24 * HOUR, |rows| {
        requests += 1;
        probes += usize::from(rows.is_empty());
        failed(Verdict::Unreachable, "connect")
    });
    assert_eq!((harness.status().totals.parked_rows, harness.status().totals.pending_rows), (0, 20));
    assert!(probes > 0 && requests < 24 * 12 + 10, "{requests}, {probes} of them without rows");
    harness.settle(HOUR, |_| accepted());
    assert_eq!(harness.arrived["s"].len(), 20);
}

/// A trigger hangs for each message. What the processes before have parked on the word of probes makes the next row take
/// longer.
#[test]
fn how_many_rows_were_parked_on_probes_is_known_after_a_restart() {
    let failures = |parked_before| {
        let mut outbox = MemoryOutbox::new(1 << 30);
        outbox.commit(&[Change::NoteParkedOnProbes { rows: parked_before }], &[]).unwrap();
        let mut harness = Harness::on(outbox, LeviConfig::default());
        let session = harness.session("s");
        harness.enqueue_all(&session, 1..=1);
        let mut failures = 0;
        harness.settle(48 * HOUR, |rows| match rows {
            [] => accepted(),
            _ => {
                failures += 1;
                failed(Verdict::Busy, "57014")
            }
        });
        assert_eq!((harness.status().totals.parked_rows, harness.status().totals.pending_rows), (1, 0));
        // Two come before the first probe.
        failures - 2
    };
    let [first, second, third] = [0, 1, 2].map(failures);
    assert_eq!((second, third), (2 * first, 4 * first));
}

/// The gateway asks for a pause where one row is in the request, and takes everything else.
#[test]
fn a_wait_that_is_asked_of_one_row_again_and_again_stops_nobody_else() {
    let mut harness = Harness::new(LeviConfig::default());
    let (bad, good) = (harness.session("s"), harness.session("good"));
    harness.enqueue_all(&bad, 3..=4);
    let asks = |rows: &[Row]| gateway(rows).map_err(|error| error.with_retry_after(Duration::from_secs(300)));
    let mut waited = Vec::new();
    for number in 0..240 {
        harness.enqueue(&good, number).unwrap();
        let enqueued = harness.clock.now().monotonic;
        while harness.arrived.get("good").is_none_or(|arrived| !arrived.contains(&number)) {
            harness.settle(Duration::from_secs(1), asks);
            harness.clock.advance(Duration::from_secs(1));
        }
        waited.push(harness.clock.now().monotonic.since(enqueued));
        harness.settle(Duration::from_secs(30), asks);
        harness.clock.advance(Duration::from_secs(30));
    }
    let stopped = waited.iter().filter(|wait| **wait > Duration::from_secs(60)).count();
    assert!((1..=4).contains(&stopped), "{waited:?}");
    // It is no larger than what gets through, so that it takes longer.
    harness.settle(24 * HOUR, asks);
    assert_eq!((harness.status().totals.parked_rows, harness.arrived["s"].as_slice()), (1, [4].as_slice()));
}

/// A limit of the rate is everybody's, whatever row it meets.
#[test]
fn too_many_requests_say_nothing_about_a_row() {
    let mut harness = Harness::new(LeviConfig::default());
    let session = harness.session("s");
    harness.enqueue_all(&session, 1..=1);
    let wait = Duration::from_secs(10);
    harness.settle(12 * HOUR, |rows| match rows {
        [] => accepted(),
        _ => Err(ApiError::new(Verdict::Busy, "429", "").with_retry_after(wait)),
    });
    assert_eq!((harness.status().totals.parked_rows, harness.status().totals.pending_rows), (0, 1));
}
