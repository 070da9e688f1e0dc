//! Disks that fail: a typed error, and afterwards everything as before.

use std::fs;
use std::time::Duration;

use rusqlite::Connection;

use super::{due, row};
use crate::error::OutboxError;
use crate::model::NewRow;
use crate::sqlite::{SqliteOptions, SqliteOutbox};
use crate::store::OutboxStore;

fn impatient() -> SqliteOptions {
    SqliteOptions { busy_timeout: Duration::ZERO, ..SqliteOptions::default() }
}

#[test]
fn a_full_disk_is_named_and_costs_nothing_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = SqliteOutbox::open(folder.path().join("outbox.db"), impatient()).unwrap();
    outbox.commit(&[], &[row("a", 1)]).unwrap();
    let pages: i64 = outbox.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    outbox.conn.pragma_update(None, "max_page_count", pages + 10).unwrap();

    let many: Vec<NewRow> = (2..100)
        .map(|number| NewRow {
            payload: vec![0; 4_000],
            ..row(if number % 2 == 0 { "a" } else { "b" }, number)
        })
        .collect();
    let full = outbox.commit(&[], &many);
    assert!(matches!(full, Err(OutboxError::DiskFull(_))), "{full:?}");
    assert!(full.is_err_and(|error| error.is_transient()));

    assert_eq!(due(&outbox, 1_000).iter().map(|lane| lane.heads.len()).collect::<Vec<_>>(), [1]);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
    outbox.conn.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    outbox.commit(&[], &many).unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 99);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}

#[test]
fn a_lock_of_another_writer_is_named_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, impatient()).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let locked = outbox.commit(&[], &[row("a", 1)]);
    assert!(matches!(locked, Err(OutboxError::Locked(_))), "{locked:?}");
    assert!(outbox.totals().is_ok(), "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    outbox.commit(&[], &[row("a", 1)]).unwrap();
}

#[test]
fn a_database_that_may_not_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = SqliteOutbox::open(folder.path().join("outbox.db"), impatient()).unwrap();
    // The user who runs the tests may be allowed to write anywhere, so that file permissions would
    // prove nothing.
    outbox.conn.pragma_update(None, "query_only", true).unwrap();
    let refused = outbox.commit(&[], &[row("a", 1)]);
    assert!(matches!(refused, Err(OutboxError::ReadOnly(_))), "{refused:?}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("outbox.db");
    let refused = SqliteOutbox::open(&path, impatient());
    assert!(
        matches!(&refused, Err(OutboxError::CannotOpen { path: named, .. }) if *named == path),
        "{refused:?}"
    );
    let refused = SqliteOutbox::open(folder.path(), impatient());
    assert!(matches!(refused, Err(OutboxError::CannotOpen { .. })), "a folder is no file: {refused:?}");
}

#[test]
fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let text = "this was never a database\n".repeat(400);
    fs::write(&path, &text).unwrap();
    let refused = SqliteOutbox::open(&path, impatient());
    assert!(matches!(refused, Err(OutboxError::Corrupt(_))), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_damaged_page_is_named_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, impatient()).unwrap();
    let rows: Vec<NewRow> = (1..200).map(|number| row("a", number)).collect();
    outbox.commit(&[], &rows).unwrap();
    let page: i64 = outbox
        .conn
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'levi_outbox'", [], |row| row.get(0))
        .unwrap();
    drop(outbox);
    let mut bytes = fs::read(&path).unwrap();
    let start = usize::try_from((page - 1) * 4_096).unwrap();
    bytes[start..start + 4_096].fill(0xFF);
    fs::write(&path, bytes).unwrap();

    let mut outbox = SqliteOutbox::open(&path, impatient()).unwrap();
    let read = outbox.list(None, 9);
    assert!(matches!(read, Err(OutboxError::Corrupt(_))), "{read:?}");
    let written = outbox.commit(&[], &[row("b", 1)]);
    assert!(matches!(written, Err(OutboxError::Corrupt(_))), "{written:?}");
}

#[cfg(unix)]
#[test]
fn nothing_is_acknowledged_into_a_file_that_was_deleted_underneath() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = SqliteOutbox::open(&path, impatient()).unwrap();
    outbox.commit(&[], &[row("a", 1)]).unwrap();
    let aside = folder.path().join("aside.db");
    fs::rename(&path, &aside).unwrap();
    let refused = outbox.commit(&[], &[row("a", 2)]);
    assert!(matches!(refused, Err(OutboxError::CannotOpen { .. })), "{refused:?}");
    fs::rename(&aside, &path).unwrap();
    outbox.commit(&[], &[row("a", 2)]).unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 2);
}

/// SQLite reports both as a full disk.
#[test]
fn ids_that_are_used_up_are_damage_and_no_full_disk() {
    for table in ["levi_outbox", "levi_lanes"] {
        let mut outbox = SqliteOutbox::in_memory(SqliteOptions::default()).unwrap();
        outbox.commit(&[], &[row("a", 1)]).unwrap();
        let last = "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = ?1";
        assert_eq!(outbox.conn.execute(last, [table]).unwrap(), 1);
        let error = outbox.commit(&[], &[row("b", 1)]).unwrap_err();
        assert!(matches!(error, OutboxError::Corrupt(_)), "{table}: {error:?}");
    }
}
