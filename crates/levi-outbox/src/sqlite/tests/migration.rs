//! Outboxes that earlier versions have written.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use levi_types::Wall;
use rusqlite::Connection;

use super::{due, row};
use crate::model::{Encryption, LaneKey, ListedRow, RowId, RowKey, Totals};
use crate::sqlite::{
    AdminCommand, Inspector, OutboxAdmin, SqliteOptions, SqliteOutbox, integrity, migrate_in, schema,
};
use crate::store::OutboxStore;

const NONE: Vec<String> = Vec::new();

/// A file of schema 2, made by the statements of the version that wrote it.
pub(super) fn schema_2(folder: &Path, content: &str) -> PathBuf {
    let path = folder.join("outbox.sqlite");
    let older = Connection::open(&path).unwrap();
    older.execute_batch(include_str!("../schema-1.sql")).unwrap();
    older.execute_batch(include_str!("../schema-2.sql")).unwrap();
    older
        .execute_batch(
            "CREATE TABLE levi_schema (version INTEGER NOT NULL) STRICT; INSERT INTO levi_schema VALUES (2);",
        )
        .unwrap();
    older.execute_batch(content).unwrap();
    path
}

/// Two sessions with messages, one of them held by its task, a parked message, and tasks of every
/// kind: session s waits for the repository, which is deferred; the secret of t is parked. The
/// newest two rows are not counted.
pub(super) const CONTENT: &str = "
    INSERT INTO levi_lanes (lane, session_id, attempts, due_at, held, reason_code, reason_detail) VALUES
        (1, 's', 3, 1000, 1, '503', 'busy'), (4, 't', 0, 2000, 0, NULL, NULL);
    INSERT INTO levi_outbox (id, lane, sequence_number, version, bytes, protection, enqueued_at, message_id, payload) VALUES
        (7, 1, 1, 1, 2, 0, 1000, 'm1', x'0102'), (8, 1, 2, 2, 2, 1, 1100, 'm2', x'0304'), (9, 4, 1, 4, 2, 0, 1200, 'm3', x'0506');
    INSERT INTO levi_parked VALUES (6, 4, 0, 1, 3, 0, 900, 'm0', 950, '22P05', 'bad', x'070809');
    UPDATE sqlite_sequence SET seq = 12 WHERE name = 'levi_outbox';
    INSERT INTO levi_tasks (name, version, attempts, due_at, waits, parent, holds, reason_code, reason_detail, payload) VALUES
        ('repository/r', 3, 2, 5000, 0, NULL, NULL, '503', 'down', x'AA'),
        ('session/s', 1, 0, 1500, 1, 'repository/r', 's', NULL, NULL, x'BBBB'),
        ('session/u', 1, 0, 1600, 0, NULL, 'u', NULL, NULL, x'DD'),
        ('secret/t', 2, 4, NULL, 0, 'session/t', NULL, '42501', 'forbidden', x'CCCCCC'),
        ('something/else', 1, 0, 1500, 0, NULL, NULL, NULL, NULL, x'EE');
    UPDATE levi_totals SET pending_rows = 1, pending_bytes = 2, parked_rows = 1, parked_bytes = 3, lanes = 2, tasks = 5, counted_to = 7;";

fn listed(outbox: &SqliteOutbox, lane: &str) -> ListedRow {
    let rows = outbox.list(None, 99).unwrap();
    rows.into_iter().find(|row| row.lane.to_string() == lane).unwrap()
}

#[test]
fn tasks_become_lanes_of_one_row_and_messages_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = schema_2(folder.path(), CONTENT);
    let outbox = SqliteOutbox::open(&path, SqliteOptions::default()).unwrap();
    assert_eq!(outbox.problems().unwrap(), NONE);
    let expected = Totals {
        pending_rows: 3,
        pending_bytes: 6 + 1 + 2 + 1,
        parked_rows: 1,
        parked_bytes: 3 + 3,
        control_rows: 3,
        parked_control_rows: 1,
        lanes: 5,
        oldest: Some(Wall::from_millis(1_000)),
    };
    assert_eq!(outbox.totals().unwrap(), expected);

    let due_now = |now| due(&outbox, now).iter().map(|lane| lane.key.to_string()).collect::<Vec<_>>();
    assert_eq!(due_now(2_000), ["session/u", "messages/t"], "the repository is deferred, and s waits for it");
    assert_eq!(due_now(5_000), ["session/u", "messages/t", "repository/r"]);
    let repository = listed(&outbox, "repository/r");
    assert_eq!(
        (repository.version, repository.attempts, repository.due_at),
        (3, 2, Some(Wall::from_millis(5_000)))
    );
    assert_eq!(repository.encryption, Encryption::None);
    assert!(repository.id.0 > 12, "ids go on where they stopped");
    let session = listed(&outbox, "session/s");
    assert_eq!(session.blocked_by, Some(LaneKey::Repository("r".into())));
    assert_eq!((session.sequence_number, session.message_id.as_str()), (0, "session"));
    let message = listed(&outbox, "messages/s");
    assert_eq!((message.id, message.attempts), (RowId(7), 3));
    assert_eq!(message.reason.unwrap().detail, "down");
    let secret = listed(&outbox, "secret/t");
    assert!(secret.parked);
    assert_eq!((secret.version, secret.reason.unwrap().code), (2, "42501".to_owned()));
    let mut payload = Vec::new();
    let key = RowKey { id: secret.id, version: 2 };
    outbox.payloads(&[key], &mut |_, _, bytes| payload.extend_from_slice(bytes)).unwrap();
    assert_eq!(payload, [0xCC; 3]);
}

#[test]
fn a_migrated_outbox_is_used_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = schema_2(folder.path(), CONTENT);
    // In a daemon's database, with views that SQLite cannot check.
    let daemon = Connection::open(&path).unwrap();
    daemon
        .execute_batch(
            "CREATE VIEW dangling AS SELECT * FROM a_table_that_was_dropped; \
             CREATE VIEW foreign_function AS SELECT only_the_daemon_has_this(1)",
        )
        .unwrap();
    migrate_in(&daemon).unwrap();
    let mut outbox = SqliteOutbox::attach(&path, SqliteOptions::default()).unwrap();
    for lane in ["repository/r", "session/s", "messages/s", "session/u", "messages/t"] {
        let lane = due(&outbox, 9_000).into_iter().find(|due| due.key.to_string() == lane).unwrap();
        let rows = lane.heads.iter().map(|head| head.key).collect();
        outbox.commit(&[super::acknowledge(&lane, rows)], &[]).unwrap();
        assert_eq!(outbox.problems().unwrap(), NONE);
    }
    let totals = outbox.totals().unwrap();
    assert_eq!((totals.pending_rows, totals.control_rows, totals.pending_bytes, totals.lanes), (0, 0, 0, 0));
    assert_eq!((totals.parked_rows, totals.parked_control_rows), (1, 1));
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
    let lanes: Vec<_> = lanes.iter().map(|l| (l.key.subject(), l.attempts, l.heads.len())).collect();
    assert_eq!(lanes, [("a", 3, 2), ("b", 0, 1)]);
    outbox.commit(&[], &[row("a", 3)]).unwrap();
    assert_eq!(outbox.totals().unwrap().pending_rows, 4);
    let unpark = [AdminCommand::Unpark(RowId(10))];
    OutboxAdmin::open(&path).unwrap().commit(&unpark, Wall::from_millis(1)).unwrap();
    assert_eq!((outbox.totals().unwrap().pending_rows, outbox.totals().unwrap().parked_rows), (5, 0));
    assert_eq!(Inspector::open(&path).unwrap().totals().unwrap(), outbox.totals().unwrap());
    assert_eq!(integrity::problems(&Connection::open(&path).unwrap()).unwrap(), NONE);
    assert_eq!(schema::find(&Connection::open(&path).unwrap()).unwrap(), schema::Found::Current);
}

/// Levi attaches to the daemon's database while the daemon migrates it.
#[test]
fn two_processes_may_migrate_at_the_same_time() {
    thread_local! {
        static OTHER: RefCell<Option<Connection>> = const { RefCell::new(None) };
    }
    fn commit_of_the_other(_: i32) -> bool {
        OTHER.take().is_some_and(|other| other.execute_batch("COMMIT").is_ok())
    }
    for content in [None, Some(CONTENT)] {
        let folder = tempfile::tempdir().unwrap();
        let path = match content {
            Some(content) => schema_2(folder.path(), content),
            None => folder.path().join("daemon.db"),
        };
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "journal_mode", "WAL").unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        migrate_in(&other).unwrap();
        OTHER.set(Some(other));
        let daemon = &mut Connection::open(&path).unwrap();
        daemon.busy_handler(Some(commit_of_the_other)).unwrap();
        migrate_in(daemon).unwrap();
        assert!(OTHER.with_borrow(Option::is_none), "the daemon has waited");
        assert_eq!(integrity::problems(daemon).unwrap(), NONE);
    }
}
