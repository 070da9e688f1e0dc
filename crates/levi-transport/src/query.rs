//! The queries that Levi sends: PostgREST's horizontal filters (`docs.postgrest.org`, *Tables and
//! Views*).

use std::fmt::Write;

use levi_types::{DeviceId, SessionId, UserId};

use crate::supabase::Select;
use crate::table::Table;

impl Select {
    /// At most `limit` active devices of `user` that have a public key, ordered by id, after device
    /// `after` if given, as [`DeviceRow`](crate::rows::DeviceRow)s.
    pub fn active_devices(user: &UserId, after: Option<&DeviceId>, limit: u32) -> Self {
        Self::devices(user, after, limit).all_columns()
    }

    pub(crate) fn devices(user: &UserId, after: Option<&DeviceId>, limit: u32) -> Query {
        Query::of(Table::Devices)
            .eq("user_id", user.as_str())
            .raw("&is_active=eq.true&public_key=not.is.null")
            .page("id", after.map(DeviceId::as_str), limit)
    }

    /// One device, active or not, as a [`DeviceRow`](crate::rows::DeviceRow).
    pub fn device(device: &DeviceId) -> Self {
        Query::of(Table::Devices).eq("id", device.as_str()).all_columns()
    }

    /// The device that owns `session`, as a [`SessionOwner`](crate::rows::SessionOwner).
    pub fn session_owner(session: &SessionId) -> Self {
        Query::of(Table::Sessions).eq("id", session.as_str()).columns("id,device_id")
    }

    /// The repository of the folder `local_path` of `device`, as a
    /// [`FoundRepository`](crate::rows::FoundRepository).
    pub fn repository_at(device: &DeviceId, local_path: &str) -> Self {
        Query::of(Table::Repositories)
            .eq("device_id", device.as_str())
            .eq("local_path", local_path)
            .columns("id")
    }

    /// The secret of `session` for `device`, as a [`SecretRow`](crate::rows::SecretRow).
    pub fn secret(session: &SessionId, device: &DeviceId) -> Self {
        Query::of(Table::Secrets)
            .eq("session_id", session.as_str())
            .eq("device_id", device.as_str())
            .all_columns()
    }

    /// At most `limit` secrets for `device`, ordered by session, after session `after` if given, as
    /// [`SecretRow`](crate::rows::SecretRow)s: the sessions that this device can read.
    pub fn secrets_for(device: &DeviceId, after: Option<&SessionId>, limit: u32) -> Self {
        Self::secrets(device, after, limit).all_columns()
    }

    pub(crate) fn secrets(device: &DeviceId, after: Option<&SessionId>, limit: u32) -> Query {
        let query = Query::of(Table::Secrets).eq("device_id", device.as_str());
        query.page("session_id", after.map(SessionId::as_str), limit)
    }

    /// At most `limit` messages of `session` after sequence number `after`, in order, as
    /// [`MessageRow`](crate::rows::MessageRow)s without their `session_id`.
    ///
    /// A server may return fewer than `limit` (it has a row limit of its own): only an empty page
    /// is the end.
    pub fn messages_after(session: &SessionId, after: Option<i64>, limit: u32) -> Self {
        Self::messages(session, after, limit).columns("sequence_number,content_encrypted,content_nonce")
    }

    /// The sequence number alone of the first of these messages.
    pub(crate) fn first_number_after(session: &SessionId, after: Option<i64>) -> Self {
        Self::messages(session, after, 1).columns("sequence_number")
    }

    fn messages(session: &SessionId, after: Option<i64>, limit: u32) -> Query {
        let query = Query::of(Table::Messages).eq("session_id", session.as_str());
        query.page("sequence_number", after.map(|after| after.to_string()).as_deref(), limit)
    }

    /// The nonces of the messages of `session` with these sequence numbers, as
    /// [`MessageRow`](crate::rows::MessageRow)s with no other column.
    pub fn nonces(session: &SessionId, numbers: &[i64]) -> Self {
        let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
        Query::of(Table::Messages)
            .eq("session_id", session.as_str())
            .raw(&format!("&sequence_number=in.({})&order=sequence_number", numbers.join(",")))
            .columns("sequence_number,content_nonce")
    }

    /// The last message of `session`, as a [`MessageRow`](crate::rows::MessageRow) with no other
    /// column.
    pub fn last_message(session: &SessionId) -> Self {
        Query::of(Table::Messages)
            .eq("session_id", session.as_str())
            .raw("&order=sequence_number.desc&limit=1")
            .columns("sequence_number")
    }

    /// At most `limit` entries of the user's device list past `after`, by slot, as
    /// [`DeviceListRow`](crate::rows::DeviceListRow)s.
    pub fn device_list(user: &UserId, after: Option<i64>, limit: u32) -> Self {
        Self::list_entries(user, after, limit).all_columns()
    }

    /// The slot alone of the first of these entries.
    pub(crate) fn first_slot_after(user: &UserId, after: Option<i64>) -> Self {
        Self::list_entries(user, after, 1).columns("slot")
    }

    fn list_entries(user: &UserId, after: Option<i64>, limit: u32) -> Query {
        let query = Query::of(Table::DeviceList).eq("user_id", user.as_str());
        query.page("slot", after.map(|after| after.to_string()).as_deref(), limit)
    }

    /// The keyring of one member, as a [`KeyringRow`](crate::rows::KeyringRow).
    pub fn keyring(user: &UserId, member: &DeviceId) -> Self {
        Query::of(Table::Keyrings).eq("user_id", user.as_str()).eq("member_id", member.as_str()).all_columns()
    }

    /// The keyrings of these members, which are few, as [`KeyringRow`](crate::rows::KeyringRow)s.
    pub fn keyrings<'a>(user: &UserId, members: impl IntoIterator<Item = &'a DeviceId>) -> Self {
        let members = members.into_iter().map(DeviceId::as_str);
        Query::of(Table::Keyrings).eq("user_id", user.as_str()).one_of("member_id", members).all_columns()
    }

    /// One pairing, as a [`PairingRow`](crate::rows::PairingRow).
    pub fn pairing(user: &UserId, id: &str) -> Self {
        Query::of(Table::Pairings).eq("user_id", user.as_str()).eq("id", id).all_columns()
    }

    /// Every column of `table` that Levi uses, and no row: fails if a column is missing.
    pub fn probe(table: Table) -> Self {
        Query::of(table).raw("&limit=0").all_columns()
    }

    /// The columns of the change feed, and no row: fails if they are missing.
    pub fn feed_probe() -> Self {
        Query::of(Table::Messages).raw("&limit=0").columns(&Table::FEED_COLUMNS.join(","))
    }

    /// No row of `table`: fails with the code 42883 (`undefined_function`) if `column` is not text,
    /// because PostgreSQL has no pattern match for other types.
    pub fn text_probe(table: Table, column: &'static str) -> Self {
        Query::of(table).filter(column, "ilike", "x").raw("&limit=0").columns(column)
    }
}

pub(crate) struct Query {
    table: Table,
    text: String,
}

impl Query {
    pub(crate) const fn of(table: Table) -> Self {
        Self { table, text: String::new() }
    }

    pub(crate) fn eq(self, column: &str, value: &str) -> Self {
        self.filter(column, "eq", value)
    }

    /// Only the messages of this session, if one is given.
    pub(crate) fn of_session(self, session: Option<&SessionId>) -> Self {
        match session {
            Some(session) => self.eq("session_id", session.as_str()),
            None => self,
        }
    }

    pub(crate) fn filter(mut self, column: &str, operator: &str, value: &str) -> Self {
        self.text.push('&');
        self.text.push_str(column);
        self.text.push('=');
        self.text.push_str(operator);
        self.text.push('.');
        percent_encode(&mut self.text, value);
        self
    }

    /// One of `ids`, which are bound to be few: they are in the request's address.
    pub(crate) fn one_of<'a>(self, column: &str, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = String::new();
        for id in ids {
            if !list.is_empty() {
                list.push(',');
            }
            percent_encode(&mut list, id);
        }
        self.raw(&format!("&{column}=in.({list})"))
    }

    /// At most `limit` rows past `after`, in the order of the unique column `key`.
    pub(crate) fn page(self, key: &str, after: Option<&str>, limit: u32) -> Self {
        let query = match after {
            Some(after) => self.filter(key, "gt", after),
            None => self,
        };
        query.raw(&format!("&order={key}&limit={limit}"))
    }

    pub(crate) fn raw(mut self, parameters: &str) -> Self {
        self.text.push_str(parameters);
        self
    }

    pub(crate) fn all_columns(self) -> Select {
        let columns = self.table.columns();
        self.columns(columns)
    }

    pub(crate) fn columns(self, columns: &str) -> Select {
        Select { table: self.table, query: format!("select={columns}{}", self.text) }
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_exactly_these() {
        let session = SessionId::from("a b&c=d,e.%(\u{e9})");
        let encoded = "a%20b%26c%3Dd%2Ce.%25%28%C3%A9%29";
        let table = [
            (
                Select::active_devices(&"u".into(), Some(&"d".into()), 7),
                "select=id,user_id,name,device_type,public_key,is_active\
                 &user_id=eq.u&is_active=eq.true&public_key=not.is.null&id=gt.d&order=id&limit=7"
                    .to_owned(),
            ),
            (
                Select::device(&"d".into()),
                "select=id,user_id,name,device_type,public_key,is_active&id=eq.d".to_owned(),
            ),
            (Select::session_owner(&session), format!("select=id,device_id&id=eq.{encoded}")),
            (
                Select::secret(&session, &"d".into()),
                format!(
                    "select=session_id,device_id,ephemeral_public_key,encrypted_secret,sender_device_id\
                     &session_id=eq.{encoded}&device_id=eq.d"
                ),
            ),
            (
                Select::secrets_for(&"d".into(), Some(&session), 9),
                format!(
                    "select=session_id,device_id,ephemeral_public_key,encrypted_secret,sender_device_id\
                     &device_id=eq.d&session_id=gt.{encoded}&order=session_id&limit=9"
                ),
            ),
            (
                Select::messages_after(&session, Some(i64::MAX), 100),
                format!(
                    "select=sequence_number,content_encrypted,content_nonce&session_id=eq.{encoded}\
                     &sequence_number=gt.9223372036854775807&order=sequence_number&limit=100"
                ),
            ),
            (
                Select::messages_after(&"s".into(), None, 1),
                "select=sequence_number,content_encrypted,content_nonce\
                 &session_id=eq.s&order=sequence_number&limit=1"
                    .to_owned(),
            ),
        ];
        for (select, expected) in table {
            assert_eq!(select.query, expected);
        }
    }
}
