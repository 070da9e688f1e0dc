//! `SqliteSessionStore`: contents, files, errors.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use std::fs;
use std::path::{Path, PathBuf};

use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_store::{Progress, SqliteSessionStore, UnsentState};
use levi_types::{
    CodingSession, Delivery, DeliveryReport, PortErrorKind, Repository, SessionId, SessionStatus,
    SessionStore,
};
use rand_core::UnwrapErr;
use tempfile::TempDir;

fn key(byte: u8) -> DatabaseKey {
    DatabaseKey::from_bytes([byte; 32])
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    (folder, file)
}

fn repository() -> Repository {
    Repository {
        remote_url: Some("https://plaintext.example/x".to_owned()),
        ..Repository::new("repository-1", "plaintext-name", "/plaintext/path")
    }
}

fn session(id: &str) -> CodingSession {
    CodingSession {
        owner_device_id: Some("device-2".into()),
        status: SessionStatus::Paused,
        title: Some("plaintext title".to_owned()),
        current_branch: Some("plaintext-branch".to_owned()),
        ..CodingSession::new(id, "repository-1")
    }
}

fn report(sequence_number: i64, delivery: Delivery) -> DeliveryReport {
    DeliveryReport {
        session_id: "session-1".into(),
        sequence_number,
        message_id: format!("message-{sequence_number}").into(),
        delivery,
    }
}

fn failed(sequence_number: i64) -> DeliveryReport {
    report(sequence_number, Delivery::Failed { code: "08006".to_owned() })
}

fn parked(sequence_number: i64) -> DeliveryReport {
    report(sequence_number, Delivery::Parked { code: "22P05".to_owned() })
}

fn sent(sequence_number: i64) -> DeliveryReport {
    report(sequence_number, Delivery::Sent)
}

/// Every byte in every file of the folder: database, WAL, shared memory.
fn everything_on_disk(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn what_is_saved_is_found_again_after_a_restart() {
    let (_folder, file) = folder();
    let secret = SessionSecret::generate(&mut UnwrapErr(getrandom::SysRng));
    let id = SessionId::from("session-1");
    {
        let store = SqliteSessionStore::open(&file, key(1)).unwrap();
        assert_eq!(store.session_secret(&id).unwrap(), None);
        store.save_repository(&repository()).unwrap();
        store.save_session(&session("session-1")).unwrap();
        store.save_session(&session("session-0")).unwrap();
        store.save_session(&CodingSession { title: None, ..session("session-1") }).unwrap();
        store.save_secret(&id, &secret).unwrap();
    }
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    assert_eq!(store.repositories().unwrap(), [repository()]);
    assert_eq!(store.repository(&repository().id).unwrap(), Some(repository()));
    let replaced = CodingSession { title: None, ..session("session-1") };
    assert_eq!(store.session(&id).unwrap(), Some(replaced.clone()));
    assert_eq!(store.sessions().unwrap(), [session("session-0"), replaced]);
    assert_eq!(store.session_secret(&id).unwrap(), Some(secret.expose().into()));
    assert_eq!(store.session(&"nobody".into()).unwrap(), None);
}

#[test]
fn no_plaintext_is_in_any_file() {
    let (folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    let secret = SessionSecret::generate(&mut UnwrapErr(getrandom::SysRng));
    store.save_repository(&repository()).unwrap();
    store.save_session(&session("session-1")).unwrap();
    store.save_secret(&"session-1".into(), &secret).unwrap();
    store.save_session(&session("session-1")).unwrap();

    // Still open, so the WAL holds the last writes.
    let files = everything_on_disk(folder.path());
    assert!(files.len() >= 3, "database, WAL and shared memory are there: {}", files.len());
    assert!(
        files.iter().any(|(_, bytes)| contains(bytes, "session-1")),
        "the search sees what is in the clear"
    );
    for (path, bytes) in files {
        for plain in ["plaintext", "sess_", secret.expose(), &"\u{1}".repeat(32)] {
            assert!(!contains(&bytes, plain), "{plain} is in {}", path.display());
        }
    }
}

#[test]
fn the_wrong_key_is_refused_and_changes_nothing() {
    let (folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    store.save_session(&session("session-1")).unwrap();
    drop(store);
    let before = everything_on_disk(folder.path());

    let refused = SqliteSessionStore::open(&file, key(2)).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied);
    assert!(refused.to_string().contains("not the database key of the store"), "{refused}");
    assert_eq!(everything_on_disk(folder.path()), before);
    assert!(SqliteSessionStore::open(&file, key(1)).unwrap().session(&"session-1".into()).unwrap().is_some());
}

#[test]
fn a_newer_file_is_refused_and_changes_nothing() {
    let (folder, file) = folder();
    drop(SqliteSessionStore::open(&file, key(1)).unwrap());
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute("UPDATE levi_store_schema SET version = 99", []).unwrap();
    drop(other);
    let before = everything_on_disk(folder.path());
    let refused = SqliteSessionStore::open(&file, key(1)).unwrap_err();
    assert!(refused.to_string().contains("update Levi"), "{refused}");
    assert_eq!(everything_on_disk(folder.path()), before);
}

#[test]
fn a_file_that_is_not_a_database_is_corrupt_and_unchanged() {
    let (_folder, file) = folder();
    fs::write(&file, "not a database, but long enough to have a header. ".repeat(20)).unwrap();
    let before = fs::read(&file).unwrap();
    assert_eq!(SqliteSessionStore::open(&file, key(1)).unwrap_err().kind(), PortErrorKind::Corrupt);
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_missing_folder_is_named_with_what_to_do() {
    let (folder, _) = folder();
    let refused = SqliteSessionStore::open(folder.path().join("gone/sessions.db"), key(1)).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied);
    assert!(refused.to_string().contains("check that its folder exists"), "{refused}");
}

/// A record copied to another row, as an attacker with the file but without the key could do.
#[test]
fn a_record_moved_to_another_row_does_not_open() {
    let (_folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    store.save_session(&session("session-1")).unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other
        .execute(
            "INSERT INTO levi_store_sessions SELECT 'session-2', record, user_id FROM levi_store_sessions",
            [],
        )
        .unwrap();
    let refused = store.session(&"session-2".into()).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Corrupt);
    assert!(store.session(&"session-1".into()).unwrap().is_some());
}

#[test]
fn progress_counts_each_message_once_and_removes_sent_messages_from_unsent() {
    let (_folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    let id = SessionId::from("session-1");
    assert_eq!(store.progress(&id).unwrap(), None);

    store.record(&[sent(1), sent(2), failed(3), failed(4)]).unwrap();
    store.record(&[sent(2), parked(3), sent(4)]).unwrap();
    assert_eq!(store.progress(&id).unwrap(), Some(Progress { last_sent: 4, sent: 3 }));
    let unsent = store.unsent(&id).unwrap();
    assert_eq!(unsent.len(), 1);
    assert_eq!((unsent[0].sequence_number, unsent[0].state), (3, UnsentState::Parked));
    assert_eq!(unsent[0].code, "22P05");

    store.record(&[sent(3)]).unwrap();
    store.record(&[sent(3), sent(1)]).unwrap();
    assert_eq!(store.progress(&id).unwrap(), Some(Progress { last_sent: 4, sent: 4 }));
    assert!(store.unsent(&id).unwrap().is_empty());
}

#[test]
fn the_file_does_not_grow_with_sent_messages() {
    let (_folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    store.record(&[failed(0), sent(0)]).unwrap();
    let rows = || {
        let other = rusqlite::Connection::open(&file).unwrap();
        let count =
            "SELECT (SELECT count(*) FROM levi_store_progress) + (SELECT count(*) FROM levi_store_unsent)";
        other.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(rows(), 1);
    for start in (1..5_000).step_by(500) {
        let batch: Vec<_> = (start..start + 500).flat_map(|number| [failed(number), sent(number)]).collect();
        store.record(&batch).unwrap();
    }
    assert_eq!(rows(), 1);
}

#[test]
fn a_removed_session_leaves_no_rows_and_other_sessions_unchanged() {
    let (_folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    let secret = SessionSecret::generate(&mut UnwrapErr(getrandom::SysRng));
    for id in ["session-1", "session-2"] {
        store.save_session(&session(id)).unwrap();
        store.save_secret(&id.into(), &secret).unwrap();
    }
    store.record(&[sent(1), parked(2)]).unwrap();
    let id = SessionId::from("session-1");
    store.remove_session(&id).unwrap();
    assert_eq!(store.session(&id).unwrap(), None);
    assert_eq!(store.session_secret(&id).unwrap(), None);
    assert_eq!(store.progress(&id).unwrap(), None);
    assert!(store.unsent(&id).unwrap().is_empty());
    assert!(store.session_secret(&"session-2".into()).unwrap().is_some());
}

/// The file may be the daemon's own database: its tables are unchanged, and the store waits for other writers.
#[test]
fn it_can_share_the_daemons_own_database() {
    let (_folder, file) = folder();
    let daemon = rusqlite::Connection::open(&file).unwrap();
    daemon.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('kept')").unwrap();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    store.save_session(&session("session-1")).unwrap();
    let kept: String = daemon.query_row("SELECT text FROM notes", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "kept");
    let foreign =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'levi~_%' ESCAPE '~'";
    assert_eq!(daemon.query_row(foreign, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn two_openers_of_a_fresh_file_agree() {
    let (_folder, file) = folder();
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|number| {
                let file = &file;
                scope.spawn(move || {
                    let store = SqliteSessionStore::open(file, key(1)).unwrap();
                    store.save_session(&session(&format!("session-{number}"))).unwrap();
                })
            })
            .collect();
        openers.into_iter().for_each(|opener| opener.join().unwrap());
    });
    assert_eq!(SqliteSessionStore::open(&file, key(1)).unwrap().sessions().unwrap().len(), 8);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, file) = folder();
    let store = SqliteSessionStore::open(&file, key(1)).unwrap();
    store.save_session(&session("session-1")).unwrap();
    for (path, _) in everything_on_disk(folder.path()) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}
