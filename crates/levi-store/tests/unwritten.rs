//! A sign-in that the store could not write.
#![cfg(feature = "sqlite")]

use levi_crypto::at_rest::DatabaseKey;
use levi_store::SqliteSessionStore;
use levi_types::{PortErrorKind, Repository, SessionStore};
use rusqlite::Connection;

#[test]
fn a_sign_in_that_could_not_be_written_is_made_up_for_before_anything_is_recorded_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteSessionStore::open(&path, DatabaseKey::from_bytes([1; 32])).unwrap();
    store.signed_in(&"ada".into()).unwrap();
    let repository = Repository::new("ada's", "name", "/path");
    store.save_repository(&repository).unwrap();

    // A table that the sign-in writes, as a file that another program has half migrated.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("ALTER TABLE levi_store_schema RENAME TO moved").unwrap();
    store.signed_in(&"ben".into()).unwrap_err();
    store.save_repository(&Repository::new("ben's", "name", "/path")).unwrap_err();
    other.execute_batch("ALTER TABLE moved RENAME TO levi_store_schema").unwrap();

    assert_eq!(
        store.repository(&repository.id).unwrap_err().kind(),
        PortErrorKind::Denied,
        "ada's is hidden"
    );
    store.save_repository(&Repository::new("ben's", "name", "/path")).unwrap();
    let ids: Vec<_> = store.repositories().unwrap().into_iter().map(|repository| repository.id).collect();
    assert_eq!(ids, ["ben's".into()]);
    store.signed_in(&"ada".into()).unwrap();
    assert_eq!(store.repositories().unwrap(), [repository], "and ada's is still hers");
}
