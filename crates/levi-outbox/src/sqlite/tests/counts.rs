//! The counts, of which the newest rows may be missing on disk.

use rusqlite::Connection;

use super::{acknowledge, due, in_memory, row};
use crate::model::{Enqueued, NewRow, RowId, Totals};
use crate::sqlite::{ByHand, Guest, Inspector, SqliteOptions, SqliteOutbox, enqueue_in, integrity, schema};
use crate::store::OutboxStore;
use levi_types::Wall;

const NONE: Vec<String> = Vec::new();

#[test]
fn whoever_opens_the_file_counts_what_the_stored_counts_leave_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    // One at a time, past the number that may be left out, and an odd one over.
    for place in 1..=601 {
        outbox.commit(&[], &[row("a", place)]).unwrap();
    }
    let inspector = Inspector::open(&path).unwrap();
    assert_eq!(inspector.totals().unwrap(), outbox.totals().unwrap());
    assert_eq!(inspector.totals().unwrap().pending_rows, 601);
    assert_eq!(inspector.problems().unwrap(), NONE);
    // What is taken away may be among the rows that are not counted yet.
    let lane = &due(&outbox, 9_000_000)[0];
    let newest = lane.heads.iter().rev().take(3).map(|head| head.key).collect();
    outbox.commit(&[acknowledge(lane, newest)], &[]).unwrap();
    assert_eq!(inspector.totals().unwrap().pending_rows, 598);
    assert_eq!(inspector.problems().unwrap(), NONE);
}

#[test]
fn storing_leaves_the_counts_at_hand() {
    let mut outbox = in_memory(u64::MAX);
    for place in 1..=3 {
        outbox.commit(&[], &[row("a", place)]).unwrap();
        let at_hand = outbox.totals_as_committed().unwrap();
        assert_eq!(at_hand.pending_rows, place.unsigned_abs());
        assert_eq!(at_hand, outbox.totals().unwrap());
    }
    let lane = &due(&outbox, 9_000_000)[0];
    let all = lane.heads.iter().map(|head| head.key).collect();
    outbox.commit(&[acknowledge(lane, all)], &[]).unwrap();
    assert_eq!(outbox.totals_as_committed(), Some(Totals::default()));
}

#[test]
fn the_owner_sees_what_others_write_between_its_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();

    let mut daemon = Connection::open(&path).unwrap();
    let transaction = daemon.transaction().unwrap();
    enqueue_in(&transaction, &[row("a", 3), row("b", 1)], u64::MAX).unwrap();
    transaction.commit().unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 4);
    let another = NewRow { message_id: "another".into(), ..row("a", 3) };
    let answers = outbox.commit(&[], &[another, row("b", 2)]).unwrap();
    assert!(matches!(answers[0], Enqueued::PlaceTaken { .. }), "{answers:?}");
    assert_eq!(outbox.totals().unwrap().pending_rows, 5);

    let first = due(&outbox, 9_000_000)[0].heads[0].key.id;
    let by_hand = [ByHand::Discard(first)];
    Guest::open(&path).unwrap().commit(&by_hand, Wall::from_millis(1)).unwrap();
    outbox.commit(&[], &[row("b", 3)]).unwrap();
    assert_eq!((outbox.totals().unwrap().pending_rows, outbox.totals().unwrap().lanes), (5, 2));
    assert_eq!(outbox.problems().unwrap(), NONE);
}

#[test]
fn an_outbox_of_the_first_schema_is_taken_over_with_its_rows_and_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let older = Connection::open(&path).unwrap();
    older.execute_batch(include_str!("../schema-1.sql")).unwrap();
    older
        .execute_batch(
            "CREATE TABLE levi_schema (version INTEGER NOT NULL) STRICT; INSERT INTO levi_schema VALUES (1); \
             INSERT INTO levi_lanes VALUES (1, 'a', 2, 3, 1000, 0, '503', 'busy'), (2, 'b', 1, 0, 2000, 0, NULL, NULL); \
             INSERT INTO levi_outbox VALUES (7, 1, 1, 1, 2, 0, 1000, 'm1', x'0102'), \
             (8, 1, 2, 1, 2, 0, 1000, 'm2', x'0304'), (9, 2, 1, 4, 2, 0, 1000, 'm3', x'0506'); \
             INSERT INTO levi_parked VALUES (10, 2, 2, 1, 2, 0, 1000, 'm4', 1500, '22P02', 'bad', x'0708'); \
             UPDATE sqlite_sequence SET seq = 10 WHERE name = 'levi_outbox'; \
             UPDATE levi_totals SET pending_rows = 3, pending_bytes = 6, parked_rows = 1, parked_bytes = 2, lanes = 2; \
             CREATE VIEW dangling AS SELECT * FROM a_table_that_was_dropped; \
             CREATE VIEW foreign_function AS SELECT only_the_daemon_has_this(1)",
        )
        .unwrap();
    drop(older);
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    let totals = outbox.totals().unwrap();
    assert_eq!((totals.pending_rows, totals.pending_bytes, totals.lanes), (3, 6, 2));
    assert_eq!(outbox.problems().unwrap(), NONE);
    let lanes = due(&outbox, 2_000);
    let lanes: Vec<_> = lanes.iter().map(|l| (l.session_id.as_str(), l.attempts, l.heads.len())).collect();
    assert_eq!(lanes, [("a", 3, 2), ("b", 0, 1)]);
    outbox.commit(&[], &[row("a", 3)]).unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 4);
    // Its id is higher than any that waited when the file was taken over.
    let by_hand = [ByHand::Unpark(RowId(10))];
    Guest::open(&path).unwrap().commit(&by_hand, Wall::from_millis(1)).unwrap();
    assert_eq!((outbox.totals().unwrap().pending_rows, outbox.totals().unwrap().parked_rows), (5, 0));
    assert_eq!(Inspector::open(&path).unwrap().totals().unwrap(), outbox.totals().unwrap());
    assert_eq!(integrity::problems(&Connection::open(&path).unwrap()).unwrap(), NONE);
    assert_eq!(schema::find(&Connection::open(&path).unwrap()).unwrap(), schema::Found::Current);
}
