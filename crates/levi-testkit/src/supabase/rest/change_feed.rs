//! The triggers of the change feed: each change of a message gets the next number, and its owner's
//! id.
//!
//! One request holds the database's lock until it has committed, so numbers become visible in
//! rising order without the advisory lock that the migration takes.

use rusqlite::Connection;

use super::error::RestError;
use super::policy::Policy;
use crate::supabase::schema::TableDef;
use crate::supabase::value::{Cell, Uuid};

/// What a reader of the feed sees. Another column does not make a change.
const SEEN: [&str; 5] = ["user_id", "session_id", "sequence_number", "content_encrypted", "content_nonce"];

/// The owner of a message whose session is missing, or hidden from the role that writes.
const NOBODY: Uuid = Uuid([0; 16]);

/// Numbers the rows of one statement.
pub(super) struct ChangeFeed<'c> {
    connection: &'c Connection,
    columns: Columns,
    last: i64,
}

/// The feed's columns in a table that has one.
#[derive(Clone, Copy)]
struct Columns {
    session_id: usize,
    user_id: usize,
    change_id: usize,
}

impl Columns {
    fn of(table: &TableDef) -> Option<Self> {
        let [session_id, user_id, change_id] =
            ["session_id", "user_id", "change_id"].map(|name| table.column(name));
        Some(Self { session_id: session_id?, user_id: user_id?, change_id: change_id? })
    }
}

impl<'c> ChangeFeed<'c> {
    /// `None` for a table without a change feed.
    pub(super) fn of(connection: &'c Connection, table: &TableDef) -> Result<Option<Self>, RestError> {
        let Some(columns) = Columns::of(table) else { return Ok(None) };
        let last =
            connection.prepare_cached("SELECT last FROM change_feed")?.query_row([], |row| row.get(0))?;
        Ok(Some(Self { connection, columns, last }))
    }

    /// `before insert`, as far as it does not depend on whether the row is new. PostgreSQL takes a
    /// number for it at once.
    pub(super) fn before_insert(
        &mut self,
        row: &mut [Cell<'_>],
        policy: &mut Policy<'_>,
    ) -> Result<(), RestError> {
        self.set_owner(row, policy)?;
        self.last += 1;
        row[self.columns.change_id] = Cell::Int(self.last);
        Ok(())
    }

    /// `before update` from `old` to `new`.
    pub(super) fn before_update(
        &mut self,
        table: &TableDef,
        old: &[Cell<'_>],
        new: &mut [Cell<'_>],
        policy: &mut Policy<'_>,
    ) -> Result<(), RestError> {
        self.set_owner(new, policy)?;
        let mut seen = SEEN.iter().filter_map(|name| table.column(name));
        new[self.columns.change_id] = if seen.all(|column| old[column] == new[column]) {
            old[self.columns.change_id].clone().into_owned()
        } else {
            self.last += 1;
            Cell::Int(self.last)
        };
        Ok(())
    }

    fn set_owner(&self, row: &mut [Cell<'_>], policy: &mut Policy<'_>) -> Result<(), RestError> {
        let session = row[self.columns.session_id].uuid();
        row[self.columns.user_id] = Cell::Uuid(policy.visible_owner(session)?.unwrap_or(NOBODY));
        Ok(())
    }

    /// Keeps what the statement used up, so that no number is given out twice.
    pub(super) fn finish(self) -> Result<(), RestError> {
        self.connection.prepare_cached("UPDATE change_feed SET last = ?")?.execute([self.last])?;
        Ok(())
    }
}
