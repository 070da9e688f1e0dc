//! The queries that Levi sends: PostgREST's horizontal filters (`docs.postgrest.org`, *Tables and Views*).

use std::fmt::Write;

use levi_types::{DeviceId, SessionId, UserId};

use crate::supabase::Select;
use crate::table::Table;

impl Select {
    /// The active devices of `user` that have a public key, as [`DeviceRow`](crate::rows::DeviceRow)s.
    pub fn active_devices(user: &UserId) -> Self {
        Query::of(Table::Devices)
            .eq("user_id", user.as_str())
            .raw("&is_active=eq.true&public_key=not.is.null&order=id")
            .all_columns()
    }

    /// One device, active or not, as a [`DeviceRow`](crate::rows::DeviceRow).
    pub fn device(device: &DeviceId) -> Self {
        Query::of(Table::Devices).eq("id", device.as_str()).all_columns()
    }

    /// The device that owns `session`, as a [`SessionOwner`](crate::rows::SessionOwner).
    pub fn session_owner(session: &SessionId) -> Self {
        Query::of(Table::Sessions).eq("id", session.as_str()).columns("id,device_id")
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
        let mut query = Query::of(Table::Secrets).eq("device_id", device.as_str());
        if let Some(after) = after {
            query = query.filter("session_id", "gt", after.as_str());
        }
        query.raw(&format!("&order=session_id&limit={limit}")).all_columns()
    }

    /// At most `limit` messages of `session` after sequence number `after`, in order, as
    /// [`MessageRow`](crate::rows::MessageRow)s without their `session_id`.
    ///
    /// A server may return fewer than `limit` (it has a row limit of its own): only an empty page is the end.
    pub fn messages_after(session: &SessionId, after: Option<i64>, limit: u32) -> Self {
        let mut query = Query::of(Table::Messages).eq("session_id", session.as_str());
        if let Some(after) = after {
            query = query.filter("sequence_number", "gt", &after.to_string());
        }
        query
            .raw(&format!("&order=sequence_number&limit={limit}"))
            .columns("sequence_number,content_encrypted,content_nonce")
    }

    /// Every column of `table` that Levi uses, and no row: fails if a column is missing.
    pub fn probe(table: Table) -> Self {
        Query::of(table).raw("&limit=0").all_columns()
    }

    /// No row of `table`: fails with the code 42883 (`undefined_function`) if `column` is not text, because
    /// PostgreSQL has no pattern match for other types.
    pub fn text_probe(table: Table, column: &'static str) -> Self {
        Query::of(table).filter(column, "ilike", "x").raw("&limit=0").columns(column)
    }
}

struct Query {
    table: Table,
    text: String,
}

impl Query {
    const fn of(table: Table) -> Self {
        Self { table, text: String::new() }
    }

    fn eq(self, column: &str, value: &str) -> Self {
        self.filter(column, "eq", value)
    }

    fn filter(mut self, column: &str, operator: &str, value: &str) -> Self {
        self.text.push('&');
        self.text.push_str(column);
        self.text.push('=');
        self.text.push_str(operator);
        self.text.push('.');
        percent_encode(&mut self.text, value);
        self
    }

    fn raw(mut self, parameters: &str) -> Self {
        self.text.push_str(parameters);
        self
    }

    fn all_columns(self) -> Select {
        let columns = self.table.columns();
        self.columns(columns)
    }

    fn columns(self, columns: &str) -> Select {
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
                Select::active_devices(&"u".into()),
                "select=id,user_id,name,device_type,public_key,is_active\
                 &user_id=eq.u&is_active=eq.true&public_key=not.is.null&order=id"
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
