use levi_outbox::{Encryption, LaneKey, Overwrite, RowHead, RowId};
use levi_types::Wall;

use super::*;
use crate::batcher::io::BatchId;

fn part(lane: i64, rows: &[u32]) -> Part {
    let row = |(index, bytes): (usize, &u32)| RowHead {
        key: RowKey { id: RowId(lane * 100 + index as i64), version: 1 },
        sequence_number: index as i64,
        bytes: *bytes,
        encryption: Encryption::SessionKey,
        enqueued_at: Wall::from_millis(0),
        overwrite: Overwrite::OwnOnly,
    };
    let key = LaneKey::Messages(lane.to_string().as_str().into());
    Part { lane: LaneId(lane), key, rows: rows.iter().enumerate().map(row).collect() }
}

fn batch(parts: Vec<Part>) -> Batch {
    Batch { id: BatchId(1), epoch: 1, user: None, user_changes: 0, parts, is_probe: false }
}

#[test]
fn a_row_that_fails_alone_while_others_get_through_is_found() {
    let (mut watched, large, small) = (LoneFailures::default(), part(1, &[900]), part(2, &[10]));
    for failure in 0..=8 {
        let proof = watched.failed(&large, Company::Apart, 8);
        let is_found = matches!(proof, Proof::Never(8));
        assert_eq!(is_found, failure == 8, "failure {failure}: {proof:?}");
        watched.accepted(&batch(vec![small.clone()]));
    }
}

#[test]
fn an_outage_proves_nothing() {
    let (mut watched, large) = (LoneFailures::default(), part(1, &[900]));
    for _ in 0..100 {
        assert_eq!(watched.failed(&large, Company::Apart, 8), Proof::None);
    }
    assert_eq!(watched.rows_that_failed(LaneId(1), large.rows[0].key), None, "it shares requests as before");
}

#[test]
fn a_small_row_on_a_bad_line_has_longer() {
    let (mut watched, row, other) = (LoneFailures::default(), part(1, &[10]), part(2, &[10]));
    let mut failures = 0;
    while !matches!(watched.failed(&row, Company::Apart, 8), Proof::Never(_)) {
        watched.accepted(&batch(vec![other.clone()]));
        failures += 1;
    }
    assert_eq!(failures, 8 * PATIENCE);
}

#[test]
fn the_lane_is_sent_apart_then_in_halves_and_starts_over_once_it_is_accepted() {
    let (mut watched, small) = (LoneFailures::default(), batch(vec![part(2, &[10])]));
    let first = part(1, &[9]).rows[0].key;
    let apart = |watched: &LoneFailures| watched.rows_that_failed(LaneId(1), first);
    watched.failed(&part(1, &[9; 4]), Company::WithOthers, 8);
    assert_eq!(apart(&watched), None);
    watched.accepted(&small);
    watched.failed(&part(1, &[9; 4]), Company::WithOthers, 8);
    assert_eq!(apart(&watched), Some(usize::MAX));
    watched.accepted(&small);
    watched.failed(&part(1, &[9; 4]), Company::Apart, 8);
    assert_eq!(apart(&watched), Some(4));
    watched.accepted(&batch(vec![part(1, &[9; 2])]));
    assert_eq!(apart(&watched), None);
}

#[test]
fn a_probe_goes_before_a_row_of_which_nobody_knows_whether_others_would_get_through() {
    let (mut watched, row, other) = (LoneFailures::default(), part(1, &[2_000]), part(2, &[2_000]));
    let before = |watched: &LoneFailures, parts: &[&Part]| {
        watched.need_probe(&parts.iter().map(|part| (*part).clone()).collect::<Vec<_>>())
    };
    watched.failed(&row, Company::Apart, 8);
    assert!(!before(&watched, &[&row]), "one failure is no reason");
    watched.failed(&row, Company::Apart, 8);
    assert!(before(&watched, &[&row]) && !before(&watched, &[&row, &other]) && !before(&watched, &[&other]));
    watched.probe_accepted();
    assert!(!before(&watched, &[&row]), "the probe has told");
    watched.failed(&row, Company::Apart, 8);
    assert!(before(&watched, &[&row]));
    watched.accepted(&batch(vec![other]));
    assert!(!before(&watched, &[&row]), "a message has told");
    watched.failed(&row, Company::Apart, 8);
    watched.probe_refused();
    assert!(!before(&watched, &[&row]), "this server cannot tell");
    let mut newer = row;
    newer.rows[0].key.version += 1;
    watched.failed(&newer, Company::Apart, 8);
    assert!(!before(&watched, &[&newer]), "a newer payload may fit");
}

/// As below; each row has a process of its own.
#[test]
fn each_row_that_is_parked_on_the_word_of_probes_makes_the_next_one_take_longer_also_after_a_restart() {
    let (mut kept, mut took) = (0, Vec::new());
    for lane in 1..=3 {
        let (mut watched, row) = (LoneFailures::default(), part(lane, &[2_000]));
        watched.restore(Vec::new(), kept);
        watched.failed(&row, Company::Apart, 8);
        took.extend((1..).find(|_| {
            watched.probe_accepted();
            matches!(watched.failed(&row, Company::Apart, 8), Proof::Never(_))
        }));
        kept = watched.parked_on_probes_if_changed().unwrap();
        assert_eq!(watched.parked_on_probes_if_changed(), None, "it is kept");
        watched.accepted(&batch(vec![part(4, &[9])]));
        assert_eq!(watched.parked_on_probes_if_changed(), Some(0), "a message got through");
    }
    assert_eq!(took, [8, 16, 32]);
}

#[test]
fn each_row_that_is_parked_on_the_word_of_probes_makes_the_next_one_take_longer() {
    let mut watched = LoneFailures::default();
    let failures = |watched: &mut LoneFailures, lane| {
        let row = part(lane, &[2_000]);
        watched.failed(&row, Company::Apart, 8);
        (1..).find(|_| {
            watched.probe_accepted();
            matches!(watched.failed(&row, Company::Apart, 8), Proof::Never(_))
        })
    };
    assert_eq!([1, 2, 3].map(|lane| failures(&mut watched, lane)), [Some(8), Some(16), Some(32)]);
    watched.accepted(&batch(vec![part(4, &[9])]));
    assert_eq!(failures(&mut watched, 5), Some(8));
    assert_eq!(failures(&mut LoneFailures::default(), 1), Some(8));
    let mut of_small = LoneFailures::default();
    let small = part(1, &[500]);
    of_small.failed(&small, Company::Apart, 8);
    let took = (1..).find(|_| {
        of_small.probe_accepted();
        matches!(of_small.failed(&small, Company::Apart, 8), Proof::Never(_))
    });
    assert_eq!(took, Some(8 * PATIENCE), "its size explains nothing");
}

#[test]
fn what_an_earlier_process_counted_counts() {
    let (mut first, large) = (LoneFailures::default(), part(1, &[2_000, 10]));
    first.failed(&large, Company::Apart, 8);
    first.probe_accepted();
    let Proof::Alone(together) = first.failed(&large, Company::Apart, 8) else { panic!("{first:?}") };
    assert_eq!((together.together, together.failures), (2, 0));
    let alone = LoneFailure { together: 1, failures: 7, ..together };
    for (kept, expected) in [(together, Some(2)), (alone, Some(1))] {
        let mut watched = LoneFailures::default();
        watched.restore(vec![kept], 0);
        assert_eq!(watched.rows_that_failed(LaneId(1), large.rows[0].key), expected);
        assert!(watched.need_probe(std::slice::from_ref(&large)), "before the row is tried");
        watched.probe_accepted();
        let proof = watched.failed(&part(1, &[2_000]), Company::Apart, 8);
        assert_eq!(proof == Proof::Never(8), kept == alone, "{proof:?}");
    }
}

#[test]
fn a_row_is_alone_once_it_failed_by_itself_and_others_were_accepted_since() {
    let (mut watched, row, others) = (LoneFailures::default(), part(1, &[9]), batch(vec![part(2, &[9])]));
    for expected in [false, false, true] {
        assert_eq!(watched.is_alone(&row), expected);
        watched.failed(&row, Company::Apart, 8);
        assert!(!watched.is_alone(&row), "nothing was accepted since");
        watched.accepted(&others);
    }
}

#[test]
fn memory_is_bounded() {
    let mut watched = LoneFailures::default();
    for lane in 0..5_000 {
        watched.failed(&part(lane, &[9]), Company::Apart, 8);
    }
    assert_eq!(watched.failing.len(), MAX_LANES);
}
