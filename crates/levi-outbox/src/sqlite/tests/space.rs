//! Giving space back.

use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::{acknowledge, due, row};
use crate::model::{GivenBack, NewRow, Progress};
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

    let step = until_it_stops(&mut outbox);
    assert_eq!((step.space.free_bytes, step.space.log_bytes), (0, 0));
    assert!(step.space.file_bytes > 32 << 20);
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
    let space = until_it_stops(&mut outbox).space;
    assert_eq!(space.log_bytes, 0);
    assert!(space.file_bytes < 4 << 20, "{space:?}");
}

/// Otherwise each cut would make the log longer.
#[test]
fn nothing_is_cut_off_while_a_reader_holds_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    for number in 0..40 {
        outbox.commit(&[], &[NewRow { payload: vec![1; 1 << 20], ..row("a", number) }]).unwrap();
    }
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM levi_outbox").unwrap();
    let lane = due(&outbox, 1_000_000).remove(0);
    let rows = lane.heads.iter().map(|head| head.key).collect();
    outbox.commit(&[acknowledge(&lane, rows)], &[]).unwrap();
    let held = until_it_stops(&mut outbox).space;
    assert!(held.log_is_held && held.free_bytes > 30 << 20, "{held:?}");
    assert_eq!(until_it_stops(&mut outbox).space, held);
    reader.execute_batch("COMMIT").unwrap();
    let space = until_it_stops(&mut outbox).space;
    assert!(!space.log_is_held && space.file_bytes < 4 << 20, "{space:?}");
}

/// The steps that are left, but for the waiting.
fn until_it_stops(outbox: &mut SqliteOutbox) -> GivenBack {
    loop {
        let step = outbox.give_back(STEP).unwrap().unwrap();
        match step.progress {
            Progress::Made => {}
            Progress::Underway => thread::yield_now(),
            Progress::None => return step,
        }
    }
}
