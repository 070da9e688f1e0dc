//! Inside a daemon's own database.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{acknowledge, due, row};
use crate::error::OutboxError;
use crate::model::{Enqueued, NewRow};
use crate::sqlite::{SqliteOptions, SqliteOutbox, enqueue_in, migrate_in};
use crate::store::OutboxStore;

const LIMIT: u64 = 1_000;

/// A daemon's database, with a version and a journal mode of its own.
fn daemon(folder: &Path) -> (PathBuf, Connection) {
    let path = folder.join("daemon.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("PRAGMA user_version = 41; CREATE TABLE note (text TEXT);").unwrap();
    (path, conn)
}

fn notes(conn: &Connection) -> i64 {
    conn.query_row("SELECT count(*) FROM note", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_daemons_row_and_ours_come_and_go_together() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut daemon) = daemon(folder.path());
    migrate_in(&daemon).unwrap();
    let mut outbox = SqliteOutbox::attach(&path, SqliteOptions::default()).unwrap();
    for (number, keep) in [(1, false), (2, true)] {
        let transaction = daemon.transaction().unwrap();
        transaction.execute("INSERT INTO note VALUES ('mine')", []).unwrap();
        let answers = enqueue_in(&transaction, &[row("a", number)], LIMIT).unwrap();
        assert!(matches!(answers[..], [Enqueued::Stored { .. }]));
        if keep {
            transaction.commit().unwrap();
        }
    }
    assert_eq!(notes(&daemon), 1);
    let lane = due(&outbox, 1_000).remove(0);
    assert_eq!(lane.heads.iter().map(|head| head.sequence_number).collect::<Vec<_>>(), [2]);
    assert_eq!(outbox.totals().unwrap().pending_rows, 1);

    // And the two writers take turns.
    outbox.commit(&[acknowledge(&lane, vec![lane.heads[0].key])], &[row("b", 1)]).unwrap();
    let transaction = daemon.transaction().unwrap();
    enqueue_in(&transaction, &[row("b", 2)], LIMIT).unwrap();
    transaction.commit().unwrap();
    assert_eq!(due(&outbox, 1_000)[0].heads.len(), 2);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}

#[test]
fn attaching_leaves_the_daemons_database_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(folder.path());
    let outbox = SqliteOutbox::attach(&path, SqliteOptions::default()).unwrap();
    let pragma = |name| daemon.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("user_version").unwrap(), 41.into());
    assert_eq!(pragma("journal_mode").unwrap(), "delete".to_owned().into());
    let strangers: i64 = daemon
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'levi\\_%' ESCAPE '\\' \
             AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'note'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(strangers, 0, "every table and index has our prefix");
    assert_eq!(outbox.totals().unwrap().pending_rows, 0);
}

#[test]
fn attaching_does_not_make_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("daemon.db");
    let refused = SqliteOutbox::attach(&path, SqliteOptions::default());
    assert!(matches!(refused, Err(OutboxError::CannotOpen { .. })), "{refused:?}");
    assert!(!path.exists());
}

#[test]
fn migrating_is_part_of_the_callers_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut daemon) = daemon(folder.path());
    let transaction = daemon.transaction().unwrap();
    migrate_in(&transaction).unwrap();
    transaction.rollback().unwrap();
    let tables: i64 = daemon
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'levi%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
    migrate_in(&daemon).unwrap();
    migrate_in(&daemon).unwrap();
}

#[test]
fn a_migration_that_breaks_off_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, daemon) = daemon(folder.path());
    daemon.execute_batch("CREATE TABLE levi_parked (stranger TEXT)").unwrap();
    assert!(migrate_in(&daemon).is_err());
    assert!(SqliteOutbox::attach(&path, SqliteOptions::default()).is_err());
    let tables: i64 = daemon
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'levi%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1, "the stranger alone");
}

#[test]
fn rows_that_failed_are_not_half_there_when_the_daemon_commits_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut daemon) = daemon(folder.path());
    migrate_in(&daemon).unwrap();
    // Stands for a disk that fills up between the first row and the second.
    daemon
        .execute_batch(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON levi_outbox WHEN new.sequence_number = 2 \
             BEGIN SELECT raise(ABORT, 'full'); END",
        )
        .unwrap();
    let transaction = daemon.transaction().unwrap();
    transaction.execute("INSERT INTO note VALUES ('mine')", []).unwrap();
    assert!(enqueue_in(&transaction, &[row("a", 1), row("a", 2)], LIMIT).is_err());
    let answers = enqueue_in(&transaction, &[row("a", 3)], LIMIT).unwrap();
    assert!(matches!(answers[..], [Enqueued::Stored { .. }]));
    transaction.commit().unwrap();
    assert_eq!(notes(&daemon), 1);
    assert_eq!(crate::sqlite::integrity::problems(&daemon).unwrap(), Vec::<String>::new());
    assert_eq!(
        crate::sqlite::counters::CachedCounters::read_totals(&mut None, &daemon).unwrap().pending_rows,
        1
    );
}

#[test]
fn the_bound_holds_for_the_daemon_too() {
    let folder = tempfile::tempdir().unwrap();
    let (_, mut daemon) = daemon(folder.path());
    migrate_in(&daemon).unwrap();
    let transaction = daemon.transaction().unwrap();
    let large = NewRow { payload: vec![0; 950], ..row("a", 1) };
    let answers = enqueue_in(&transaction, &[large, row("a", 2)], LIMIT).unwrap();
    assert!(matches!(answers[1], Enqueued::Full { pending_bytes: 950, limit: LIMIT, .. }));
}
