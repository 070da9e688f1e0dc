//! What a user has: sessions, devices, and what belongs to some of them.

use levi_types::{DeviceId, RepositoryId, SessionId, UserId};
use serde::Deserialize;

use super::query::{PagedQuery, paged};
use crate::api_error::ApiError;
use crate::query::Query;
use crate::rows::{DeviceRow, NamedRepository, SecretRow, SessionOwner, SessionRow, decode_rows};
use crate::supabase::Select;
use crate::table::Table;

/// Every session of a user, by id.
#[derive(Clone, Copy, Debug)]
pub struct SessionsOf<'a>(pub &'a UserId);

/// The devices that own a user's sessions from `first` to `last`, by the session's id.
#[derive(Clone, Copy, Debug)]
pub struct OwnersBetween<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The first session.
    pub first: &'a SessionId,
    /// The last session.
    pub last: &'a SessionId,
}

/// Every device of a user, active or not, with a public key or without, by id.
#[derive(Clone, Copy, Debug)]
pub struct AllDevicesOf<'a>(pub &'a UserId);

/// The secrets of some sessions for a device, by session. The sessions are in the request's address, so there must be
/// few.
#[derive(Clone, Copy, Debug)]
pub struct SecretsAmong<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// The sessions.
    pub sessions: &'a [SessionId],
}

/// The names of some repositories, by id. They are in the request's address, so there must be few.
#[derive(Clone, Copy, Debug)]
pub struct RepositoriesAmong<'a>(pub &'a [RepositoryId]);

impl SessionsOf<'_> {
    fn rows(&self, after: Option<&SessionId>, limit: u32) -> Query {
        let query = Query::of(Table::Sessions).eq("user_id", self.0.as_str());
        query.page("id", after.map(SessionId::as_str), limit)
    }
}

impl OwnersBetween<'_> {
    fn rows(&self, after: Option<&SessionId>, limit: u32) -> Query {
        let query = Query::of(Table::Sessions).eq("user_id", self.user.as_str());
        let query = match after {
            Some(_) => query,
            None => query.filter("id", "gte", self.first.as_str()),
        };
        query.filter("id", "lte", self.last.as_str()).page("id", after.map(SessionId::as_str), limit)
    }
}

impl AllDevicesOf<'_> {
    fn rows(&self, after: Option<&DeviceId>, limit: u32) -> Query {
        let query = Query::of(Table::Devices).eq("user_id", self.0.as_str());
        query.page("id", after.map(DeviceId::as_str), limit)
    }
}

impl SecretsAmong<'_> {
    fn rows(&self, after: Option<&SessionId>, limit: u32) -> Query {
        Query::of(Table::Secrets)
            .eq("device_id", self.device.as_str())
            .one_of("session_id", self.sessions.iter().map(SessionId::as_str))
            .page("session_id", after.map(SessionId::as_str), limit)
    }
}

impl RepositoriesAmong<'_> {
    fn rows(&self, after: Option<&RepositoryId>, limit: u32) -> Query {
        Query::of(Table::Repositories).one_of("id", self.0.iter().map(RepositoryId::as_str)).page(
            "id",
            after.map(RepositoryId::as_str),
            limit,
        )
    }
}

paged!(SessionsOf<'_>, SessionRow, page: Query::all_columns, key: id SessionId);
paged!(OwnersBetween<'_>, SessionOwner, page: |rows| rows.columns("id,device_id"), key: id SessionId);
paged!(AllDevicesOf<'_>, DeviceRow, page: Query::all_columns, key: id DeviceId);
paged!(SecretsAmong<'_>, SecretRow, page: Query::all_columns, key: session_id SessionId);
paged!(RepositoriesAmong<'_>, NamedRepository, page: |rows| rows.columns("id,name"), key: id RepositoryId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_of_many_sessions_are_asked_for_by_the_first_and_the_last() {
        let (user, first, last) = ("u".into(), "a".into(), "d".into());
        let owners = OwnersBetween { user: &user, first: &first, last: &last };
        let queries = [None, Some("b".into())].map(|after| owners.page(after.as_ref(), 9).query);
        let query = |rest| format!("select=id,device_id&user_id=eq.u{rest}&order=id&limit=9");
        assert_eq!(queries, [query("&id=gte.a&id=lte.d"), query("&id=lte.d&id=gt.b")]);
    }

    #[test]
    fn the_sessions_of_a_request_are_named_in_its_address() {
        let sessions = ["s".into(), "a,b".into()];
        let query =
            SecretsAmong { device: &"d".into(), sessions: &sessions }.page(Some(&"a".into()), 2).query;
        assert!(
            query.ends_with(
                "&device_id=eq.d&session_id=in.(s,a%2Cb)&session_id=gt.a&order=session_id&limit=2"
            )
        );
    }
}
