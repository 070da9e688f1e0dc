//! A faulty outbox works like its store until it is told to fail, and after it is told to stop.

use std::time::{Duration, Instant};

use levi_outbox::memory::MemoryOutbox;
use levi_outbox::{Encryption, Enqueued, NewRow, OutboxError, OutboxStore, conformance};
use levi_testkit::outbox::{FaultyOutbox, OutboxCounts, OutboxFailure};
use levi_types::Wall;

#[test]
fn without_faults_it_passes_what_every_store_passes() {
    conformance::run(|max_pending_bytes| Box::new(FaultyOutbox::new(MemoryOutbox::new(max_pending_bytes))));
}

fn row(sequence_number: i64) -> NewRow {
    let message_id = format!("message {sequence_number}").into();
    let (payload, at) = (b"sealed".to_vec(), Wall::from_millis(1));
    NewRow::message("session".into(), sequence_number, message_id, payload, Encryption::SessionKey, at)
}

#[test]
fn a_commit_that_fails_changes_nothing_and_the_next_one_works() {
    let mut outbox = FaultyOutbox::new(MemoryOutbox::new(1 << 20));
    let faults = outbox.faults();
    faults.fail_commits(2, OutboxFailure::DiskFull);
    for _ in 0..2 {
        assert!(matches!(outbox.commit(&[], &[row(0)]), Err(OutboxError::DiskFull(_))));
        assert_eq!(outbox.totals().unwrap().pending_rows, 0);
    }
    assert!(matches!(outbox.commit(&[], &[row(0)]).unwrap()[..], [Enqueued::Stored { .. }]));

    faults.break_down(OutboxFailure::Corrupt);
    assert!(matches!(outbox.totals(), Err(OutboxError::Corrupt(_))));
    assert!(matches!(outbox.commit(&[], &[row(1)]), Err(OutboxError::Corrupt(_))));
    faults.heal();
    assert_eq!(outbox.totals().unwrap().pending_rows, 1);
    let counts =
        OutboxCounts { commits: 1, failed_commits: 3, reads: 3, failed_reads: 1, ..OutboxCounts::default() };
    assert_eq!(faults.counts(), counts);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the delay is one of the machine's clock")]
fn a_slow_outbox_takes_as_long_as_it_was_told_to() {
    let mut outbox = FaultyOutbox::new(MemoryOutbox::new(1 << 20));
    let faults = outbox.faults();
    faults.delay_commits(Duration::from_millis(20));
    let start = Instant::now();
    outbox.commit(&[], &[row(0)]).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(faults.counts().commits, 1);
}
