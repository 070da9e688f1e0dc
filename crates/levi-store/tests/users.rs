//! `SqliteSessionStore` with several users: whose records they are.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

use std::path::Path;

use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_store::SqliteSessionStore;
use levi_types::{CodingSession, PortErrorKind, Repository, SessionStore, StoreError};
use rand_core::UnwrapErr;
use rusqlite::Connection;

fn open(path: &Path) -> SqliteSessionStore {
    SqliteSessionStore::open(path, DatabaseKey::from_bytes([1; 32])).unwrap()
}

fn save_all(store: &SqliteSessionStore, session: &str) -> Result<(), StoreError> {
    store.save_repository(&Repository::new(format!("repository-of-{session}"), "name", "/path"))?;
    store.save_session(&CodingSession::new(session, format!("repository-of-{session}")))?;
    store.save_secret(&session.into(), &SessionSecret::generate(&mut UnwrapErr(getrandom::SysRng)))
}

#[test]
fn a_session_is_its_own_users_whoever_is_signed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = open(&path);
    let session = "session-of-ada".into();
    save_all(&store, "session-of-ada").unwrap();
    assert_eq!(store.session_user(&session).unwrap(), None, "nobody has signed in yet");
    store.signed_in(&"ada".into()).unwrap();
    let secret = store.session_secret(&session).unwrap();
    assert!(secret.is_some(), "the first user takes it over");

    store.signed_in(&"ben".into()).unwrap();
    drop(store);
    let store = open(&path);
    assert_eq!(store.session_user(&session).unwrap(), Some("ada".into()));
    let repository = "repository-of-session-of-ada".into();
    let errors = [
        store.session_secret(&session).unwrap_err(),
        store.session(&session).unwrap_err(),
        store.repository(&repository).unwrap_err(),
        save_all(&store, "session-of-ada").unwrap_err(),
        store.remove_session(&session).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), PortErrorKind::Denied);
        assert!(error.to_string().contains("is user ada's"), "{error}");
    }
    save_all(&store, "session-of-ben").unwrap();
    assert_eq!(store.sessions().unwrap().len(), 1);
    assert_eq!(store.repositories().unwrap().len(), 1);

    store.signed_in(&"ada".into()).unwrap();
    assert_eq!(store.session_secret(&session).unwrap(), secret);
    assert_eq!(store.sessions().unwrap()[0].id, session);
}

/// Another program writes to the daemon's database, so that the sign-in cannot be recorded for now.
#[test]
fn nothing_is_recorded_for_the_user_before_when_a_sign_in_could_not_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = open(&path);
    store.signed_in(&"ada".into()).unwrap();
    save_all(&store, "session-of-ada").unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(store.signed_in(&"ben".into()).is_err());
    assert!(store.sessions().is_err(), "ada's are not shown to ben");
    other.execute_batch("ROLLBACK").unwrap();

    save_all(&store, "session-of-ben").unwrap();
    assert_eq!(store.session_user(&"session-of-ben".into()).unwrap(), Some("ben".into()));
    assert_eq!(store.sessions().unwrap().len(), 1);
    store.signed_in(&"ada".into()).unwrap();
    assert_eq!(store.sessions().unwrap()[0].id, "session-of-ada".into());
}

/// Made by the statements of the version that wrote it.
#[test]
fn records_of_an_older_file_are_the_first_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    save_all(&open(&path), "s").unwrap();
    let older = Connection::open(&path).unwrap();
    for table in ["repositories", "sessions", "secrets", "schema"] {
        older.execute_batch(&format!("ALTER TABLE levi_store_{table} DROP COLUMN user_id")).unwrap();
    }
    for table in ["received", "device_list", "epoch_starts"] {
        older.execute_batch(&format!("DROP TABLE levi_store_{table}")).unwrap();
    }
    older.execute_batch("UPDATE levi_store_schema SET version = 1").unwrap();
    let store = open(&path);
    assert!(store.session_secret(&"s".into()).unwrap().is_some());
    store.signed_in(&"ada".into()).unwrap();
    store.signed_in(&"ben".into()).unwrap();
    assert!(store.session_secret(&"s".into()).is_err());
}

/// It is kept to read with, for the user whose the session becomes.
#[test]
fn a_secret_that_was_replaced_before_anybody_signed_in_is_the_first_users() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("sessions.db"));
    save_all(&store, "s").unwrap();
    let earlier = store.session_secret(&"s".into()).unwrap().unwrap();
    save_all(&store, "s").unwrap();
    store.signed_in(&"ada".into()).unwrap();
    store.signed_in(&"ben".into()).unwrap();
    assert_eq!(store.received_secrets(&"ben".into(), &"s".into()).unwrap(), []);
    let received = store.received_secrets(&"ada".into(), &"s".into()).unwrap();
    assert_eq!(received.iter().map(|received| &received.secret).collect::<Vec<_>>(), [&earlier]);
}
