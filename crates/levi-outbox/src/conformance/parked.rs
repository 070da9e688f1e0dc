//! Parked rows.

use super::fixture::{Shorthand, at, reason, row};
use super::list_cases;
use crate::model::{Change, Enqueued, LoneFailure, NewRow, RowKey, RowState};
use crate::store::OutboxStore;

list_cases![
    a_lane_goes_on_without_its_parked_row,
    parking_another_version_does_nothing,
    an_unparked_row_is_in_its_old_position,
    the_same_message_brings_its_parked_row_back,
    another_message_cannot_have_the_sequence_number_of_a_parked_one,
    a_parked_row_is_discarded_for_good,
    lone_failures_are_kept_until_their_row_changes_or_leaves,
];

fn a_lane_goes_on_without_its_parked_row(store: &mut dyn OutboxStore) {
    let bad = store.store(row("a", 1));
    store.store(row("a", 2));
    let lane = store.lane("a");
    store.defer(lane, 30, 5);
    store.park(lane, bad, 10);

    assert_eq!(store.row_state(bad.id).ok(), Some(RowState::Parked(reason("22P02"))));
    let due = store.lane_due_at("a", 10).expect("the lane is due at once");
    assert_eq!((due.attempts, due.heads.len(), due.heads[0].sequence_number), (0, 1, 2));
    let listed = store.list(None, 1).expect("rows can be listed").remove(0);
    assert_eq!((listed.id, listed.parked, listed.attempts, listed.due_at), (bad.id, true, 0, None));
    assert_eq!(listed.reason, Some(reason("22P02")));
    assert_eq!(store.payload(bad).as_deref(), Some("a/1"), "it can still be exported");

    store.park(lane, due.heads[0].key, 11);
    let due = store.due_at(99);
    assert!(due.lanes.is_empty() && due.next_due.is_none(), "a lane with parked rows only is never due");
}

fn parking_another_version_does_nothing(store: &mut dyn OutboxStore) {
    let old = store.store(row("a", 1));
    let lane = store.lane("a");
    store.defer(lane, 30, 5);
    let new = store.store(row("a", 1));
    store.park(lane, old, 10);
    assert_eq!(store.row_state(new.id).ok(), Some(RowState::Pending(new.version)));
    assert_eq!(store.lane_due_at("a", 29), None, "the lane's wait is as it was");
    store.store(row("b", 1));
    store.park(store.lane("b"), new, 10);
    assert!(!store.parked(new.id), "nor does another lane's answer");
}

fn an_unparked_row_is_in_its_old_position(store: &mut dyn OutboxStore) {
    let bad = store.store(row("a", 1));
    let second = store.store(row("a", 2));
    let lane = store.lane("a");
    store.park(lane, bad, 1);
    store.defer(lane, 300, 3);
    store.change(Change::Unpark { row: bad.id, at: at(5) });
    let due = store.lane_due_at("a", 5).expect("the lane is due now");
    assert_eq!((due.attempts, due.heads.len()), (0, 2));
    assert_eq!(due.heads.iter().map(|head| head.key).collect::<Vec<_>>(), [bad, second]);
    store.change(Change::Unpark { row: bad.id, at: at(6) });
    assert_eq!(store.totals().map(|totals| (totals.pending_rows, totals.parked_rows)).ok(), Some((2, 0)));

    // And where the lane has nothing else.
    let alone = store.store(row("b", 1));
    store.park(store.lane("b"), alone, 1);
    store.change(Change::Unpark { row: alone.id, at: at(7) });
    assert_eq!(store.lane_due_at("b", 6), None);
    assert_eq!(store.lane_due_at("b", 7).map(|lane| lane.heads.len()), Some(1));
}

fn the_same_message_brings_its_parked_row_back(store: &mut dyn OutboxStore) {
    let bad = store.store(row("a", 1));
    store.park(store.lane("a"), bad, 1);
    let better = NewRow { payload: b"better".to_vec(), enqueued_at: at(2), ..row("a", 1) };
    let Enqueued::Stored { key, replaced: true } = store.answer(better) else {
        panic!("the same message replaces its parked payload");
    };
    assert_eq!(key, RowKey { id: bad.id, version: bad.version + 1 });
    assert_eq!(store.payload(key).as_deref(), Some("better"));
    assert_eq!(store.row_state(key.id).ok(), Some(RowState::Pending(key.version)));
    assert_eq!(store.lane_due_at("a", 1), None, "due when it came");
    assert_eq!(store.lane_due_at("a", 2).map(|lane| lane.heads.len()), Some(1));
    let totals = store.totals().expect("totals can be read");
    assert_eq!((totals.pending_bytes, totals.parked_rows, totals.parked_bytes), (6, 0, 0));
}

fn another_message_cannot_have_the_sequence_number_of_a_parked_one(store: &mut dyn OutboxStore) {
    let bad = store.store(row("a", 1));
    store.park(store.lane("a"), bad, 1);
    let other = NewRow { message_id: "other".into(), ..row("a", 1) };
    assert_eq!(store.answer(other), Enqueued::SequenceConflict { holder: "m1".into() });
    assert!(store.parked(bad.id));
}

fn a_parked_row_is_discarded_for_good(store: &mut dyn OutboxStore) {
    let bad = store.store(row("a", 1));
    store.park(store.lane("a"), bad, 1);
    store.change(Change::Discard { row: bad.id });
    assert_eq!(store.row_state(bad.id).ok(), Some(RowState::Discarded));
    assert_eq!(store.totals().ok(), Some(crate::Totals::default()));
    let other = NewRow { message_id: "other".into(), ..row("a", 1) };
    assert!(
        matches!(store.answer(other), Enqueued::Stored { replaced: false, .. }),
        "its sequence number is free"
    );
}

fn lone_failures_are_kept_until_their_row_changes_or_leaves(store: &mut dyn OutboxStore) {
    let of_row = |lane, row, failures| LoneFailure { lane, row, together: 1, failures, is_surpassed: true };
    let (a, b, c) = (store.store(row("a", 1)), store.store(row("b", 1)), store.store(row("c", 1)));
    let [of_a, of_b, of_c] =
        [("a", a), ("b", b), ("c", c)].map(|(lane, row)| of_row(store.lane(lane), row, 1));
    for failure in [of_a, of_b, of_c, LoneFailure { failures: 2, ..of_a }] {
        store.change(Change::NoteLoneFailure(failure));
    }
    let kept = |store: &dyn OutboxStore| store.lone_failures().expect("they can be read");
    assert_eq!(kept(store), [LoneFailure { failures: 2, ..of_a }, of_b, of_c], "the last of each lane");
    store.store(row("b", 1));
    store.park(of_a.lane, a, 10);
    assert_eq!(kept(store), [of_c], "a newer payload may fit, and a row that is unparked begins anew");
    store.change(Change::Unpark { row: a.id, at: at(11) });
    store.acknowledge(of_c.lane, &[c], 12);
    assert_eq!(kept(store), []);
    for rows in [2, 3, 0] {
        store.change(Change::NoteParkedOnProbes { rows });
        assert_eq!((store.parked_on_probes().ok(), kept(store)), (Some(rows), Vec::new()));
    }
}
