//! The queries of the receiving side over all sessions of a user.

use levi_types::{SessionId, UserId};

use crate::query::Query;
use crate::supabase::Select;
use crate::table::Table;

impl Select {
    /// The session and number of the message whose last change has this number, as a
    /// [`MessagePlace`](crate::rows::MessagePlace); nothing if it has changed again since.
    pub fn change_place(user: &UserId, change_id: i64) -> Self {
        Query::of(Table::Messages)
            .eq("user_id", user.as_str())
            .eq("change_id", &change_id.to_string())
            .columns("session_id,sequence_number")
    }

    /// The highest sequence number among the messages of `session` whose last change is at most `change_id`, as a
    /// [`MessageRow`](crate::rows::MessageRow) with no other column.
    pub fn last_message_changed_by(session: &SessionId, change_id: i64) -> Self {
        Query::of(Table::Messages)
            .eq("session_id", session.as_str())
            .filter("change_id", "lte", &change_id.to_string())
            .raw("&order=sequence_number.desc&limit=1")
            .columns("sequence_number")
    }
}
