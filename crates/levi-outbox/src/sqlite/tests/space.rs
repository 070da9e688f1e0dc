//! Giving space back.

use std::time::Duration;

use rusqlite::Connection;

use super::{acknowledge, due, row};
use crate::model::NewRow;
use crate::sqlite::{SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

const STEP: Duration = Duration::from_millis(1);

/// A file of a version before schema 4 that was too large to be written anew has no place for the
/// notes that cutting off needs.
#[test]
fn a_file_that_cannot_be_cut_gives_back_its_log_and_counts_nothing_else_as_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    for number in 0..40 {
        outbox.commit(&[], &[NewRow { payload: vec![1; 1 << 20], ..row("a", number) }]).unwrap();
    }
    drop(outbox);
    let older = Connection::open(&path).unwrap();
    older.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
    drop(older);
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    let lane = due(&outbox, 1_000_000).remove(0);
    let rows = lane.heads.iter().map(|head| head.key).collect();
    outbox.commit(&[acknowledge(&lane, rows)], &[]).unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 0);

    let step = outbox.give_back(STEP).unwrap().unwrap();
    assert_eq!((step.space.free_bytes, step.space.log_bytes), (0, 0));
    assert!(step.space.file_bytes > 32 << 20);
    assert!(outbox.give_back(STEP).unwrap().unwrap().is_stuck, "there is nothing left to do");
}

#[test]
fn every_step_comes_closer_until_the_file_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    for number in 0..20 {
        outbox.commit(&[], &[NewRow { payload: vec![1; 1 << 20], ..row("a", number) }]).unwrap();
    }
    let lane = due(&outbox, 1_000_000).remove(0);
    let rows = lane.heads.iter().map(|head| head.key).collect();
    outbox.commit(&[acknowledge(&lane, rows)], &[]).unwrap();
    let mut space = outbox.space().unwrap().unwrap();
    while space.free_bytes + space.log_bytes > 4 << 20 {
        let step = outbox.give_back(STEP).unwrap().unwrap();
        assert!(!step.is_stuck, "{step:?}");
        space = step.space;
    }
    assert!(space.file_bytes < 4 << 20);
}
