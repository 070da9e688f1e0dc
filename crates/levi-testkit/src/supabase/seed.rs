//! Rows that a test needs before it begins.

use levi_transport::{Table, Upsert};
use levi_types::{DeviceId, SessionId, UserId};

use super::fake_supabase::FakeSupabase;
use super::http::Request;
use super::role::Role;

/// The fake Supabase refused rows that a test wanted to begin with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fake Supabase refused rows of {}: {answer}", .table.name())]
pub struct SeedError {
    /// The table.
    pub table: Table,
    /// The error body.
    pub answer: String,
}

impl FakeSupabase {
    /// Writes rows without a request, so that neither faults nor counters notice. Constraints
    /// apply; row level security does not, as for the secret key.
    ///
    /// # Errors
    /// [`SeedError`] when a constraint is violated, such as a foreign key.
    pub fn seed(&self, upsert: Upsert) -> Result<(), SeedError> {
        let Upsert { table, columns, body } = upsert;
        let (name, conflict) = (table.name(), table.conflict_columns());
        self.without_a_request(
            table,
            Request {
                method: "POST".to_owned(),
                target: format!("/rest/v1/{name}?on_conflict={conflict}&columns={columns}"),
                headers: vec![("prefer".to_owned(), "resolution=merge-duplicates,return=minimal".to_owned())],
                raw_head: Vec::new(),
                body,
            },
        )
    }

    /// Deletes a session, and with it its messages and secrets, as another device does. Neither
    /// faults nor counters notice.
    ///
    /// # Errors
    /// [`SeedError`] if the id is not a uuid.
    pub fn delete_session(&self, session: &SessionId) -> Result<(), SeedError> {
        self.delete(Table::Sessions, &format!("id=eq.{session}"))
    }

    /// Deletes every row of `user` in `table`, as somebody does in the dashboard. Neither faults
    /// nor counters notice.
    ///
    /// # Errors
    /// [`SeedError`] if rows of another table refer to them.
    pub fn delete_rows_of(&self, user: &UserId, table: Table) -> Result<(), SeedError> {
        self.delete(table, &format!("user_id=eq.{user}"))
    }

    /// Deletes every envelope that was sealed for `device`, as the holder of a token can. Neither
    /// faults nor counters notice.
    ///
    /// # Errors
    /// [`SeedError`] if the id is not a uuid.
    pub fn delete_envelopes_for(&self, device: &DeviceId) -> Result<(), SeedError> {
        self.delete(Table::Secrets, &format!("device_id=eq.{device}"))
    }

    fn delete(&self, table: Table, filter: &str) -> Result<(), SeedError> {
        self.without_a_request(
            table,
            Request {
                method: "DELETE".to_owned(),
                target: format!("/rest/v1/{}?{filter}", table.name()),
                headers: Vec::new(),
                raw_head: Vec::new(),
                body: Vec::new(),
            },
        )
    }

    fn without_a_request(&self, table: Table, request: Request) -> Result<(), SeedError> {
        let response = self.server.answer_rest(&request, Role::Service).response;
        if response.status < 400 {
            return Ok(());
        }
        Err(SeedError { table, answer: String::from_utf8_lossy(&response.body).into_owned() })
    }
}
