//! Files: what is still there after the store is gone, and who may have it.

use std::fs;
use std::path::Path;

use levi_types::Wall;
use rusqlite::Connection;

use super::{acknowledge, due, reason, repository, row, session};
use crate::error::OutboxError;
use crate::model::Change;
use crate::sqlite::{Inspector, SqliteOptions, SqliteOutbox, Synchronous, lock_path, schema};
use crate::store::OutboxStore;

fn open(path: &Path) -> SqliteOutbox {
    SqliteOutbox::open(path, SqliteOptions::default()).unwrap()
}

/// Rows, a deferred lane, a parked row, and a session whose messages wait for it.
fn fill(outbox: &mut SqliteOutbox) {
    outbox.commit(&[], &[row("a", 1), row("a", 2), row("b", 1), row("b", 2)]).unwrap();
    let lanes = due(outbox, 1_000);
    let (due_at, at) = (Wall::from_millis(9_000), Wall::from_millis(1_500));
    let changes = [
        Change::Defer { lane: lanes[0].lane, due_at, attempts: 3, reason: reason() },
        Change::Park { lane: lanes[1].lane, row: lanes[1].heads[0].key, reason: reason(), at },
    ];
    outbox.commit(&changes, &[repository("r"), session("c"), row("c", 1)]).unwrap();
}

#[test]
fn everything_is_there_when_the_outbox_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    fill(&mut outbox);
    let view = |outbox: &SqliteOutbox| {
        let lanes = (due(outbox, 5_000), due(outbox, 9_000));
        (lanes, outbox.list(None, 99).unwrap(), outbox.totals().unwrap())
    };
    let before = view(&outbox);
    assert_eq!(before.0.1[2].attempts, 3, "the deferred lane is in the picture");
    drop(outbox);

    let outbox = open(&path);
    assert_eq!(view(&outbox), before);
    assert_eq!(outbox.problems().unwrap(), Vec::<String>::new());
}

#[test]
fn ids_go_on_where_they_stopped_when_the_outbox_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    outbox.commit(&[], &[row("a", 1)]).unwrap();
    let old = due(&outbox, 1_000).remove(0);
    outbox.commit(&[acknowledge(&old, vec![old.heads[0].key])], &[]).unwrap();
    drop(outbox);

    let mut outbox = open(&path);
    outbox.commit(&[], &[row("a", 1)]).unwrap();
    let new = due(&outbox, 1_000).remove(0);
    assert!(new.lane > old.lane && new.heads[0].key.id > old.heads[0].key.id);
}

#[test]
fn lanes_that_a_discard_emptied_are_swept_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    fill(&mut outbox);
    // The messages first, because a row that others wait for is not discarded.
    for listed in outbox.list(None, 99).unwrap().into_iter().rev().filter(|listed| !listed.parked) {
        outbox.commit(&[Change::Discard { row: listed.id }], &[]).unwrap();
    }
    let lanes = |outbox: &SqliteOutbox| -> i64 {
        outbox.conn.query_row("SELECT count(*) FROM levi_lanes", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(lanes(&outbox), 5);
    drop(outbox);
    assert_eq!(lanes(&open(&path)), 1, "the one with the parked row stays");
}

#[test]
fn a_second_owner_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    fill(&mut outbox);
    let before = snapshot(folder.path());
    for second in [
        SqliteOutbox::open(&path, SqliteOptions::default()),
        SqliteOutbox::attach(&path, SqliteOptions::default()),
        SqliteOutbox::open(folder.path().join(".").join("outbox.db"), SqliteOptions::default()),
    ] {
        assert!(matches!(second, Err(OutboxError::Owned { .. })), "{second:?}");
    }
    #[cfg(unix)]
    {
        let link = tempfile::tempdir().unwrap();
        let link = link.path().join("link.db");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let second = SqliteOutbox::open(&link, SqliteOptions::default());
        assert!(matches!(second, Err(OutboxError::Owned { .. })), "through a link: {second:?}");
    }
    assert_eq!(snapshot(folder.path()), before);
    drop(outbox);
    assert!(SqliteOutbox::open(&path, SqliteOptions::default()).is_ok(), "free again");
}

/// Every file with its bytes.
fn snapshot(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    fill(&mut outbox);
    let names: Vec<_> = snapshot(folder.path()).into_iter().map(|(path, _)| path).collect();
    assert!(names.len() >= 4, "database, lock, wal and shm: {names:?}");
    for name in names {
        let mode = fs::metadata(&name).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", name.display());
    }
    assert!(lock_path(&fs::canonicalize(&path).unwrap()).exists());
}

#[test]
fn the_durability_asked_for_is_the_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    for (synchronous, expected) in [(Synchronous::Full, 2), (Synchronous::Normal, 1)] {
        let path = folder.path().join(format!("{expected}.db"));
        let options = SqliteOptions { synchronous, ..SqliteOptions::default() };
        let outbox = SqliteOutbox::open(path, options).unwrap();
        let pragma = |name| outbox.conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), expected);
        let mode: String = outbox.conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!((pragma("fullfsync"), pragma("checkpoint_fullfsync")), (1, 1), "for Apple's systems");
    }
    // With a rollback journal FULL leaves the removal of the journal, and so the commit, to chance:
    // EXTRA does not.
    let host = folder.path().join("host.db");
    Connection::open(&host).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();
    let outbox = SqliteOutbox::attach(&host, SqliteOptions::default()).unwrap();
    let level: i64 = outbox.conn.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
    assert_eq!(level, 3);
}

#[test]
fn a_newer_schema_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let newer = schema::KNOWN + 1;
    // Not in WAL mode, which an opener that looks too late would change.
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE levi_schema (version INTEGER NOT NULL) STRICT").unwrap();
    conn.execute("INSERT INTO levi_schema VALUES (?1)", [newer]).unwrap();
    drop(conn);
    let before = fs::read(&path).unwrap();
    let refused = [
        SqliteOutbox::open(&path, SqliteOptions::default()).map(drop),
        SqliteOutbox::attach(&path, SqliteOptions::default()).map(drop),
        Inspector::open(&path).map(drop),
    ];
    for refused in refused {
        assert!(
            matches!(refused, Err(OutboxError::NewerSchema { found, known }) if found == newer && known == schema::KNOWN),
            "{refused:?}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn an_inspector_reads_beside_the_owner_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let mut outbox = open(&path);
    fill(&mut outbox);
    let inspector = Inspector::open(&path).unwrap();
    assert_eq!(inspector.totals().unwrap(), outbox.totals().unwrap());
    assert_eq!(inspector.list(None, 99).unwrap(), outbox.list(None, 99).unwrap());
    outbox.commit(&[], &[row("d", 1)]).unwrap();
    assert_eq!(inspector.totals().unwrap().pending_rows, 5, "it sees what is committed meanwhile");
    drop(inspector);
    drop(outbox);

    let inspector = Inspector::open(&path).unwrap();
    assert_eq!(inspector.totals().unwrap().pending_rows, 5);
    assert_eq!(inspector.problems().unwrap(), Vec::<String>::new());
    assert!(SqliteOutbox::open(&path, SqliteOptions::default()).is_ok(), "an inspector owns nothing");
}

#[test]
fn an_inspector_finds_no_outbox_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Inspector::open(folder.path().join("missing.db"));
    assert!(matches!(missing, Err(OutboxError::CannotOpen { .. })), "{missing:?}");
    let path = folder.path().join("host.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE note (text TEXT)").unwrap();
    let empty = Inspector::open(&path);
    assert!(matches!(empty, Err(OutboxError::CannotOpen { .. })), "{empty:?}");
}
