//! Updates of rows that others may have written too. Each names the columns that it writes.

use levi_types::{DeviceId, SessionId, UserId};
use serde::Serialize;
use serde_json::Value;

use crate::query::Query;
use crate::rows::{RepositoryRow, SessionRow};
use crate::supabase::Update;
use crate::table::Table;

/// The columns by which a session's own device describes it. Another device leaves alone those
/// whose values it does not know.
const DESCRIPTION: [&str; 5] =
    ["title", "current_branch", "working_directory", "is_worktree", "worktree_path"];

/// Never updated: whose a row is.
const OWNER: [&str; 2] = ["user_id", "device_id"];

impl Update {
    /// Another text for a message, if the server still has the text that `nonce` names. `body` is
    /// the row as a JSON object. The answer is the row's sequence number, or nothing.
    pub fn message(session: &SessionId, sequence_number: i64, nonce: &str, body: Vec<u8>) -> Self {
        let select = Query::of(Table::Messages)
            .eq("session_id", session.as_str())
            .eq("sequence_number", &sequence_number.to_string())
            .eq("content_nonce", nonce)
            .columns("sequence_number");
        Self { table: select.table, query: select.query, body }
    }

    /// Columns of one pairing. `body` is a JSON object. The answer is the pairing's id, or nothing.
    pub fn pairing(user: &UserId, id: &str, body: Vec<u8>) -> Self {
        let select = Query::of(Table::Pairings).eq("user_id", user.as_str()).eq("id", id).columns("id");
        Self { table: select.table, query: select.query, body }
    }

    /// The keyring of a member, if it is still of `epoch`. `body` is a JSON object. The answer is
    /// the member's id, or nothing.
    pub fn keyring(user: &UserId, member: &DeviceId, epoch: u32, body: Vec<u8>) -> Self {
        let query = Query::of(Table::Keyrings).eq("user_id", user.as_str()).eq("member_id", member.as_str());
        let select = query.eq("epoch", &epoch.to_string()).columns("member_id");
        Self { table: select.table, query: select.query, body }
    }

    /// A repository's row without its status, which belongs to the product after the first insert.
    /// The answer is its id, or nothing.
    pub fn repository(row: &RepositoryRow) -> Self {
        let select = Query::of(Table::Repositories).eq("id", row.id.as_str()).columns("id");
        let body = columns(row, |column, _| column != "status" && column != "user_id");
        Self { table: select.table, query: select.query, body }
    }

    /// A session's row, if the server has it, whichever device it belongs to. The update does not
    /// change the device. The answer is its id as a [`SessionOwner`](crate::rows::SessionOwner), or
    /// nothing.
    pub fn session(row: &SessionRow) -> Self {
        Self::of_session(row, None, |_, _| true)
    }

    /// As [`session`](Self::session), but only if the row belongs to the device that `row` names.
    pub fn own_session(row: &SessionRow) -> Self {
        Self::of_session(row, Some(&row.device_id), |_, _| true)
    }

    /// As [`session`](Self::session), but only the columns of which `row` has a value: for another
    /// device's session.
    pub fn known_of_session(row: &SessionRow) -> Self {
        let is_worktree = row.worktree_path.is_some();
        Self::of_session(row, None, |column, value| {
            let is_known = !value.is_null() && (column != "is_worktree" || is_worktree);
            column != "repository_id" && (is_known || !DESCRIPTION.contains(&column))
        })
    }

    fn of_session(
        row: &SessionRow,
        device: Option<&DeviceId>,
        is_written: impl Fn(&str, &Value) -> bool,
    ) -> Self {
        let query = Query::of(Table::Sessions).eq("id", row.id.as_str());
        let query = match device {
            Some(device) => query.eq("device_id", device.as_str()),
            None => query,
        };
        let select = query.columns("id,device_id");
        let body = columns(row, |column, value| !OWNER.contains(&column) && is_written(column, value));
        Self { table: select.table, query: select.query, body }
    }
}

/// A JSON object of the columns of `row` that are written.
#[expect(clippy::expect_used, reason = "text, booleans and nulls in a struct always make JSON")]
fn columns(row: &impl Serialize, is_written: impl Fn(&str, &Value) -> bool) -> Vec<u8> {
    let mut row = serde_json::to_value(row).expect("a row is a plain struct");
    if let Value::Object(columns) = &mut row {
        columns.retain(|column, value| is_written(column, value));
    }
    row.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use levi_types::{CodingSession, Repository, Wall};

    use super::*;

    fn written(update: &Update) -> Vec<String> {
        let body: serde_json::Map<String, Value> = serde_json::from_slice(&update.body).unwrap();
        body.keys().cloned().collect()
    }

    #[test]
    fn no_update_says_whose_a_session_is_and_another_devices_session_keeps_what_is_not_known() {
        let session = CodingSession::new("s", "r");
        let row = SessionRow::new("u".into(), "d".into(), &session, Wall::from_millis(0));
        assert_eq!(written(&Update::known_of_session(&row)), ["id", "last_heartbeat_at", "status"]);
        let titled = SessionRow { title: Some("plan".into()), ..row.clone() };
        assert!(written(&Update::known_of_session(&titled)).contains(&"title".to_owned()));
        for update in [Update::session(&row), Update::own_session(&row)] {
            let columns = written(&update);
            assert!(columns.contains(&"title".to_owned()), "its own device may take the title away");
            assert!(!columns.iter().any(|column| OWNER.contains(&column.as_str())), "{columns:?}");
        }
        assert!(Update::own_session(&row).query.contains("&device_id=eq.d"));
    }

    #[test]
    fn a_repository_keeps_the_status_that_the_product_gave_it() {
        let row = RepositoryRow::new("u".into(), "d".into(), &Repository::new("r", "levi", "/src"));
        let columns = written(&Update::repository(&row));
        assert!(columns.contains(&"local_path".to_owned()) && !columns.contains(&"status".to_owned()));
    }
}
