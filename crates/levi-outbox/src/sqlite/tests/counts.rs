//! The totals, which are stored with every commit.

use levi_types::Wall;
use rusqlite::Connection;

use super::{acknowledge, due, in_memory, row};
use crate::model::{Enqueued, NewRow, Totals};
use crate::sqlite::{AdminCommand, Inspector, OutboxAdmin, SqliteOptions, SqliteOutbox, enqueue_in};
use crate::store::OutboxStore;

const NONE: Vec<String> = Vec::new();

#[test]
fn the_stored_totals_are_right_after_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    let inspector = Inspector::open(&path).unwrap();
    for number in 1..=50 {
        outbox.commit(&[], &[row("a", number)]).unwrap();
        assert_eq!(inspector.totals().unwrap(), outbox.totals().unwrap());
    }
    assert_eq!(inspector.totals().unwrap().pending_rows, 50);
    assert_eq!(inspector.problems().unwrap(), NONE);
    let lane = &due(&outbox, 9_000_000)[0];
    let newest = lane.heads.iter().rev().take(3).map(|head| head.key).collect();
    outbox.commit(&[acknowledge(lane, newest)], &[]).unwrap();
    assert_eq!(inspector.totals().unwrap().pending_rows, 47);
    assert_eq!(inspector.problems().unwrap(), NONE);
}

#[test]
fn the_totals_are_known_after_a_commit() {
    let mut outbox = in_memory(u64::MAX);
    for number in 1..=3 {
        outbox.commit(&[], &[row("a", number)]).unwrap();
        let known = outbox.totals_as_committed().unwrap();
        assert_eq!(known.pending_rows, number.unsigned_abs());
        assert_eq!(known, outbox.totals().unwrap());
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
    assert!(matches!(answers[0], Enqueued::SequenceConflict { .. }), "{answers:?}");
    assert_eq!(outbox.totals().unwrap().pending_rows, 5);

    let first = due(&outbox, 9_000_000)[0].heads[0].key.id;
    let discard = [AdminCommand::Discard(first)];
    OutboxAdmin::open(&path).unwrap().commit(&discard, Wall::from_millis(1)).unwrap();
    outbox.commit(&[], &[row("b", 3)]).unwrap();
    assert_eq!((outbox.totals().unwrap().pending_rows, outbox.totals().unwrap().lanes), (5, 2));
    assert_eq!(outbox.problems().unwrap(), NONE);
}

#[test]
fn an_inspector_reads_one_state_of_a_file_that_changes_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    outbox.commit(&[], &[row("a", 1), row("a", 2)]).unwrap();
    let lane = &due(&outbox, 9_000_000)[0];
    let rows: Vec<_> = lane.heads.iter().map(|head| head.key).collect();
    let inspector = Inspector::open(&path).unwrap();
    let mut seen = Vec::new();
    let mut sink = |_, id: &str, _: &[u8]| {
        seen.push(id.to_owned());
        outbox.commit(&[acknowledge(lane, rows.clone())], &[]).unwrap();
    };
    inspector.payloads(&rows, &mut sink).unwrap();
    assert_eq!(seen, ["m1", "m2"]);
    assert_eq!(inspector.totals().unwrap(), Totals::default());
}
