//! The change feed: what changed since, for one user over all sessions, or for one session.

use levi_types::{SessionId, UserId};

use super::query::PagedQuery;
use crate::api_error::ApiError;
use crate::query::Query;
use crate::rows::{ChangeNumber, ChangeRow, decode_rows};
use crate::supabase::Select;
use crate::table::Table;

const COLUMNS: &str = "change_id,session_id,sequence_number,content_encrypted,content_nonce";

/// The changes of a user's messages, by the change's number.
#[derive(Clone, Copy, Debug)]
pub struct ChangesOf<'a> {
    /// The user.
    pub user: &'a UserId,
    /// Only those of this session; `None`: of all.
    pub session: Option<&'a SessionId>,
}

/// The changes of one session up to the number `up_to`, by number.
#[derive(Clone, Copy, Debug)]
pub struct ChangesOfSession<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// The last number.
    pub up_to: i64,
}

impl ChangesOf<'_> {
    fn rows(&self, after: Option<&i64>, limit: u32) -> Query {
        let query = Query::of(Table::Messages).eq("user_id", self.user.as_str());
        by_number(query.of_session(self.session), after, limit)
    }
}

impl ChangesOfSession<'_> {
    fn rows(&self, after: Option<&i64>, limit: u32) -> Query {
        let query = Query::of(Table::Messages).eq("session_id", self.session.as_str());
        by_number(query.filter("change_id", "lte", &self.up_to.to_string()), after, limit)
    }
}

fn by_number(query: Query, after: Option<&i64>, limit: u32) -> Query {
    query.page("change_id", after.map(i64::to_string).as_deref(), limit)
}

macro_rules! changes {
    ($query:ty) => {
        impl PagedQuery for $query {
            type Row = ChangeRow;
            type Key = i64;

            fn key(row: &ChangeRow) -> i64 {
                row.change_id
            }

            fn page(&self, after: Option<&i64>, limit: u32) -> Select {
                self.rows(after, limit).columns(COLUMNS)
            }

            fn decode(body: Vec<u8>) -> Result<Vec<ChangeRow>, ApiError> {
                ChangeRow::decode(body)
            }

            fn first_key(&self, after: Option<&i64>) -> Select {
                self.rows(after, 1).columns("change_id")
            }

            fn keys(body: &[u8]) -> Result<Vec<i64>, ApiError> {
                Ok(decode_rows::<ChangeNumber>(body)?.into_iter().map(|row| row.change_id).collect())
            }
        }
    };
}

changes!(ChangesOf<'_>);
changes!(ChangesOfSession<'_>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_asks_for_all_sessions() {
        let changes = |session| ChangesOf { user: &"u".into(), session }.page(Some(&7), 100).query;
        let rest = "&change_id=gt.7&order=change_id&limit=100";
        assert_eq!(changes(None), format!("select={COLUMNS}&user_id=eq.u{rest}"));
        assert_eq!(
            changes(Some(&"s".into())),
            format!("select={COLUMNS}&user_id=eq.u&session_id=eq.s{rest}")
        );
        let one = ChangesOfSession { session: &"s".into(), up_to: 9 }.page(None, 5).query;
        assert_eq!(one, format!("select={COLUMNS}&session_id=eq.s&change_id=lte.9&order=change_id&limit=5"));
    }
}
