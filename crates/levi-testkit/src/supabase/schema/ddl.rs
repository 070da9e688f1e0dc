//! The tables as DDL for SQLite.

use std::fmt::Write as _;

use super::{ALL, Nullable, OnDelete};

/// The tables for SQLite. `arrival` is the rowid, which numbers rows in the order of their first
/// arrival.
pub(crate) fn ddl() -> String {
    let mut sql = String::from("CREATE TABLE users (id BLOB PRIMARY KEY) STRICT;\n");
    for def in ALL {
        // Writing to a String cannot fail.
        let _ = write!(sql, "CREATE TABLE {} (arrival INTEGER PRIMARY KEY", def.name);
        for column in def.columns {
            let not_null = if column.nullable == Nullable::No { " NOT NULL" } else { "" };
            let _ = write!(sql, ", {} {}{not_null}", column.name, column.kind.stored_as());
        }
        for unique in def.uniques {
            let _ = write!(sql, ", UNIQUE ({})", unique.columns.join(", "));
        }
        for key in def.foreign {
            let on_delete = if key.on_delete == OnDelete::Cascade { " ON DELETE CASCADE" } else { "" };
            let _ = write!(
                sql,
                ", FOREIGN KEY ({}) REFERENCES {} ({}){on_delete} DEFERRABLE INITIALLY DEFERRED",
                key.columns.join(", "),
                key.parent,
                key.parent_columns.join(", "),
            );
        }
        sql.push_str(") STRICT;\n");
    }
    sql.push_str("CREATE TABLE change_feed (last INTEGER NOT NULL) STRICT;\n");
    sql.push_str("INSERT INTO change_feed (last) VALUES (0);\n");
    sql.push_str("CREATE INDEX changes_of_user ON agent_coding_session_messages (user_id, change_id);\n");
    sql.push_str("CREATE INDEX secrets_of_device ON agent_coding_session_secrets (device_id);\n");
    sql.push_str("CREATE INDEX sessions_of_device ON agent_coding_sessions (device_id);\n");
    sql.push_str("CREATE INDEX sessions_of_repository ON agent_coding_sessions (repository_id);\n");
    sql
}
