//! A process that was killed while a reader held the log leaves a long one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::fs::File;

use levi_outbox::OutboxStore as _;
use levi_outbox::sqlite::{SqliteOptions, SqliteOutbox};
use levi_torture::memory::peak_bytes;

const MIB: u64 = 1 << 20;

/// It may be longer than the memory, and is looked through at each start.
#[test]
fn the_next_start_does_not_read_the_log_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite");
    drop(SqliteOutbox::open(&path, SqliteOptions::default()).unwrap());
    let log = File::create(folder.path().join("outbox.sqlite-wal")).unwrap();
    log.set_len(256 * MIB).unwrap();
    drop(log);
    let (outbox, report) = SqliteOutbox::open_or_recover(&path, SqliteOptions::default()).unwrap();
    assert_eq!((outbox.totals().unwrap().pending_rows, report), (0, None));
    if let Some(peak) = peak_bytes() {
        assert!(peak < 100 * MIB, "{} MiB", peak / MIB);
    }
}
