//! A damaged database with tables that are not the outbox's.

use std::fs;

use rusqlite::Connection;

use super::recovery::{damage, filled};
use crate::error::OutboxError;
use crate::sqlite::{SqliteOptions, SqliteOutbox};

/// A fresh outbox in its place would have nothing of the daemon's.
#[test]
fn a_database_with_other_tables_is_not_replaced() {
    for table in ["conversations", "levi_store_secrets"] {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(&format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY)")).unwrap();
        conn.close().unwrap();
        damage(&path, "levi_outbox", 3, 1);
        let before = fs::read(&path).unwrap();
        for refused in [
            SqliteOutbox::open_or_recover(&path, SqliteOptions::default()).map(|(_, report)| report),
            SqliteOutbox::repair(&path),
            SqliteOutbox::quarantine_and_recover(&path).map(Some),
        ] {
            assert!(matches!(&refused, Err(OutboxError::CannotOpen { .. })), "{table}: {refused:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
