//! A sealed record of which a bit flipped: SQLite cannot tell, and the others are still there.
#![cfg(feature = "sqlite")]

use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_store::SqliteSessionStore;
use levi_types::{CodingSession, PortErrorKind, Repository, SessionId, SessionStore as _};
use rand_core::UnwrapErr;

fn key(byte: u8) -> DatabaseKey {
    DatabaseKey::from_bytes([byte; 32])
}

fn secret() -> SessionSecret {
    SessionSecret::generate(&mut UnwrapErr(getrandom::SysRng))
}

#[test]
fn a_damaged_record_is_named_and_hides_no_other_and_a_damaged_secret_counts_as_absent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.sqlite");
    let store = SqliteSessionStore::open(&path, key(1)).unwrap();
    store.save_repository(&Repository::new("r1", "a", "/a")).unwrap();
    store.save_repository(&Repository::new("r2", "b", "/b")).unwrap();
    for id in ["s1", "s2"] {
        store.save_session(&CodingSession::new(id, "r1")).unwrap();
        store.save_secret(&id.into(), &secret()).unwrap();
    }
    let unreadable = || SqliteSessionStore::unreadable_records(&path, key(1)).unwrap();
    assert!(unreadable().is_empty());
    let connection = rusqlite::Connection::open(&path).unwrap();
    for (table, column, id) in [
        ("levi_store_repositories", "record", "r1"),
        ("levi_store_sessions", "record", "s1"),
        ("levi_store_secrets", "secret", "s1"),
    ] {
        let select = format!("SELECT {column} FROM {table} WHERE id = ?1");
        let mut sealed: Vec<u8> = connection.query_row(&select, [id], |row| row.get(0)).unwrap();
        *sealed.last_mut().unwrap() ^= 1;
        let update = format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1");
        connection.execute(&update, (id, sealed)).unwrap();
    }

    let names = unreadable();
    assert!(names.len() == 3 && names[2].contains("s1 in levi_store_secrets"), "{names:?}");
    assert_eq!(store.repositories().unwrap().len(), 1);
    let sessions: Vec<SessionId> = store.sessions().unwrap().into_iter().map(|session| session.id).collect();
    assert_eq!(sessions, ["s2".into()]);
    assert_eq!(store.session(&"s1".into()).unwrap_err().kind(), PortErrorKind::Corrupt);
    assert!(store.session_secret(&"s1".into()).unwrap().is_none());
    assert!(store.session_secret(&"s2".into()).unwrap().is_some());

    // The one from the server takes its place.
    let fetched = secret();
    store.save_secret(&"s1".into(), &fetched).unwrap();
    assert_eq!(store.session_secret(&"s1".into()).unwrap().unwrap().expose(), fetched.expose());
    assert_eq!(unreadable().len(), 2);
    // With a key that opens nothing no record is called damaged.
    let refused = SqliteSessionStore::unreadable_records(&path, key(2)).unwrap_err();
    assert_eq!(refused.kind(), PortErrorKind::Denied);
}
