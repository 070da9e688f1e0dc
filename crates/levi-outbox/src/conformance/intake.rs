//! Storing and replacing.

use super::fixture::{Shorthand, at, messages, row};
use super::{MAX_PENDING_BYTES, list_cases};
use crate::model::{Change, Encryption, Enqueued, NewRow, RowKey, RowState};
use crate::store::OutboxStore;

list_cases![
    rows_wait_in_the_order_of_their_sequence_numbers,
    a_replacement_survives_the_acknowledgement_of_what_it_replaced,
    a_replaced_row_keeps_its_id_and_its_age,
    another_message_with_the_same_sequence_number_is_refused_by_name,
    a_full_outbox_says_so_and_takes_what_makes_room,
    ids_of_rows_are_never_used_again,
    changes_come_before_rows,
    rows_under_the_database_key_are_resealed,
    payloads_of_other_versions_are_skipped,
];

fn rows_wait_in_the_order_of_their_sequence_numbers(store: &mut dyn OutboxStore) {
    let rows = [row("a", 7), row("b", 1), row("a", i64::MAX), row("a", 0)];
    let answers = store.commit(&[], &rows).expect("a commit succeeds");
    assert_eq!(answers.len(), rows.len());

    let lane = store.lane_due_at("a", 0).expect("the lane is due");
    let numbers: Vec<_> = lane.heads.iter().map(|head| head.sequence_number).collect();
    assert_eq!(numbers, [0, 7, i64::MAX]);
    let payloads: Vec<_> = lane.heads.iter().filter_map(|head| store.payload(head.key)).collect();
    assert_eq!(payloads, ["a/0", "a/7", format!("a/{}", i64::MAX).as_str()]);
    let rest = store.heads(lane.lane, Some(0), 1).expect("heads can be read");
    assert_eq!(rest, lane.heads[1..2]);
}

fn a_replacement_survives_the_acknowledgement_of_what_it_replaced(store: &mut dyn OutboxStore) {
    let sent = store.store(row("a", 1));
    let lane = store.lane("a");
    let newer = NewRow { payload: b"newer".to_vec(), ..row("a", 1) };
    let Enqueued::Stored { key, replaced: true } = store.answer(newer) else {
        panic!("the same message replaces its payload");
    };
    assert!(key.version > sent.version);

    store.acknowledge(lane, &[sent], 1);

    assert_eq!(store.row_state(key.id).ok(), Some(RowState::Pending(key.version)));
    assert_eq!(store.payload(key).as_deref(), Some("newer"));
    assert_eq!(store.lane_due_at("a", 1).map(|lane| lane.heads.len()), Some(1), "and it is due");
    store.acknowledge(lane, &[key], 2);
    assert_eq!(store.row_state(key.id).ok(), Some(RowState::Gone));
}

fn a_replaced_row_keeps_its_id_and_its_age(store: &mut dyn OutboxStore) {
    let first = store.store(row("a", 1));
    let second = store.store(NewRow { enqueued_at: at(60), ..row("a", 1) });
    assert_eq!(first.id, second.id);
    let head = store.lane_due_at("a", 0).expect("the lane is due").heads[0];
    assert_eq!(head.enqueued_at, at(0));
}

fn another_message_with_the_same_sequence_number_is_refused_by_name(store: &mut dyn OutboxStore) {
    let key = store.store(row("a", 1));
    let other = NewRow { message_id: "other".into(), ..row("a", 1) };
    let answers = store.commit(&[], &[other, row("a", 2)]).expect("a commit succeeds");
    assert_eq!(answers[0], Enqueued::SequenceConflict { holder: "m1".into() });
    assert!(matches!(answers[1], Enqueued::Stored { replaced: false, .. }), "and stops no other row");
    assert_eq!(store.payload(key).as_deref(), Some("a/1"));

    // Within one commit too.
    let other = NewRow { message_id: "other".into(), ..row("b", 1) };
    let answers = store.commit(&[], &[row("b", 1), other]).expect("a commit succeeds");
    assert_eq!(answers[1], Enqueued::SequenceConflict { holder: "m1".into() });
}

fn a_full_outbox_says_so_and_takes_what_makes_room(store: &mut dyn OutboxStore) {
    let sized = |number, bytes: u64| NewRow {
        payload: vec![7; usize::try_from(bytes).unwrap_or(0)],
        ..row("a", number)
    };
    let first = store.store(sized(1, MAX_PENDING_BYTES - 100));
    let lane = store.lane("a");
    let pending_bytes = MAX_PENDING_BYTES - 100;
    let full = Enqueued::Full { pending_bytes, held_bytes: 0, limit: MAX_PENDING_BYTES };
    assert_eq!(store.answer(sized(2, 101)), full);
    assert_eq!(store.answer(sized(1, MAX_PENDING_BYTES + 1)), full, "a larger payload for a stored message");
    assert_eq!(store.answer(NewRow { lane: messages("new"), ..sized(1, 101) }), full);
    assert_eq!(store.due_at(0).lanes.len(), 1, "a refused row leaves no lane behind");

    let second = store.store(sized(2, 100));
    store.park(lane, second, 0);
    assert!(matches!(store.answer(sized(3, 1)), Enqueued::Full { .. }), "parked bytes count");
    let smaller = store.store(sized(1, 10));
    assert_eq!(smaller.id, first.id);
    store.store(sized(3, 1));
    store.acknowledge(lane, &[smaller], 1);
    store.store(sized(4, MAX_PENDING_BYTES - 101));
    assert!(matches!(store.answer(sized(5, 1)), Enqueued::Full { pending_bytes: MAX_PENDING_BYTES, .. }));
}

fn ids_of_rows_are_never_used_again(store: &mut dyn OutboxStore) {
    let last = store.store(row("a", 1));
    let lane = store.lane("a");
    store.acknowledge(lane, &[last], 1);
    let next = store.store(row("a", 1));
    assert!(next.id > last.id);
    assert_ne!(store.lane("a"), lane, "a lane's id is not used again either");
    // An answer that comes twice finds nothing.
    store.acknowledge(lane, &[last], 2);
    store.defer(lane, 100, 3);
    assert_eq!(store.lane_due_at("a", 2).map(|lane| (lane.heads.len(), lane.attempts)), Some((1, 0)));
}

fn changes_come_before_rows(store: &mut dyn OutboxStore) {
    let key = store.store(row("a", 1));
    let done = Change::Acknowledge { lane: store.lane("a"), rows: vec![key], at: at(1) };
    let other = NewRow { message_id: "other".into(), ..row("a", 1) };
    let answers = store.commit(&[done], &[other]).expect("a commit succeeds");
    assert!(matches!(answers[..], [Enqueued::Stored { replaced: false, .. }]));
}

fn rows_under_the_database_key_are_resealed(store: &mut dyn OutboxStore) {
    let wrapped = NewRow { encryption: Encryption::DatabaseKey, ..row("a", 2) };
    store.store(row("a", 1));
    let key = store.store(wrapped.clone());
    let lane = store.lane("a");
    assert_eq!(store.rows_under_database_key(lane, 9).ok(), Some(vec![(key, wrapped)]));
    assert_eq!(store.rows_under_database_key(lane, 0).ok(), Some(vec![]));

    let stale = RowKey { version: key.version + 1, ..key };
    store.change(Change::Reseal { row: stale, payload: b"never".to_vec() });
    assert_eq!(store.rows_under_database_key(lane, 9).map(|rows| rows.len()).ok(), Some(1));
    store.change(Change::Reseal { row: key, payload: b"sealed payload".to_vec() });
    assert_eq!(store.rows_under_database_key(lane, 9).ok(), Some(vec![]));
    assert_eq!(store.payload(key).as_deref(), Some("sealed payload"));
    let head = store.lane_due_at("a", 0).expect("the lane is due").heads[1];
    assert_eq!((head.key, head.bytes, head.encryption), (key, 14, Encryption::SessionKey));
    assert_eq!(store.totals().map(|totals| totals.pending_bytes).ok(), Some(14 + 3));
}

fn payloads_of_other_versions_are_skipped(store: &mut dyn OutboxStore) {
    let old = store.store(row("a", 1));
    let new = store.store(row("a", 1));
    let other = store.store(row("a", 2));
    let mut seen = Vec::new();
    let mut sink = |key: RowKey, message_id: &str, payload: &[u8]| {
        seen.push((key, message_id.to_owned(), payload.len()))
    };
    store.payloads(&[other, old, new], &mut sink).expect("payloads can be read");
    assert_eq!(seen, [(other, "m2".to_owned(), 3), (new, "m1".to_owned(), 3)], "in the order asked for");
}
