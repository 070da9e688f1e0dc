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

    /// The highest number among the changes of a user's messages that are there, or of those of one
    /// session.
    pub fn last_change(user: &UserId, session: Option<&SessionId>) -> Self {
        Query::of(Table::Messages)
            .eq("user_id", user.as_str())
            .of_session(session)
            .raw("&order=change_id.desc&limit=1")
            .columns("change_id")
    }

    /// At most `limit` of a user's messages, or of those of one session, the last changed first, of
    /// those whose last change is at most `up_to`, as [`ChangePlace`](crate::rows::ChangePlace)s.
    pub fn last_places(user: &UserId, session: Option<&SessionId>, up_to: i64, limit: u32) -> Self {
        Query::of(Table::Messages)
            .eq("user_id", user.as_str())
            .of_session(session)
            .filter("change_id", "lte", &up_to.to_string())
            .raw(&format!("&order=change_id.desc&limit={limit}"))
            .columns("change_id,session_id,sequence_number")
    }

    /// At most `limit` messages of `session` whose last change is at most `change_id`, the highest
    /// sequence number first, as [`MessageRow`](crate::rows::MessageRow)s.
    pub fn last_messages_changed_by(session: &SessionId, change_id: i64, limit: u32) -> Self {
        Query::of(Table::Messages)
            .eq("session_id", session.as_str())
            .filter("change_id", "lte", &change_id.to_string())
            .raw(&format!("&order=sequence_number.desc&limit={limit}"))
            .columns("sequence_number,content_encrypted,content_nonce")
    }
}
