//! Reads the tables without HTTP and row level security.

use levi_transport::Table;
use levi_types::SessionId;
use rusqlite::params;

use super::fake_supabase::FakeSupabase;
use super::rest;
use super::schema::TableDef;
use super::value::Uuid;

/// A table could not be read, which is a bug of the fake Supabase.
#[derive(Debug, thiserror::Error)]
#[error("the fake Supabase could not read its own tables")]
pub struct InspectError(#[from] Box<dyn std::error::Error + Send + Sync>);

/// One message on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its sequence number.
    pub sequence_number: i64,
    /// The `content_encrypted` column.
    pub content_encrypted: String,
    /// The `content_nonce` column.
    pub content_nonce: String,
}

/// A message that became visible after a higher one of its session. A reader that has read up to
/// `highest` never sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderViolation {
    /// The session.
    pub session_id: SessionId,
    /// The message that came late.
    pub sequence_number: i64,
    /// The highest sequence number that was visible before it.
    pub highest: i64,
}

impl FakeSupabase {
    /// Every row of a table with every column, in order of first arrival.
    ///
    /// # Errors
    /// [`InspectError`]
    pub fn rows(
        &self,
        table: Table,
    ) -> Result<Vec<serde_json::Map<String, serde_json::Value>>, InspectError> {
        let json = rest::all_rows(&self.server.database, TableDef::of(table))?;
        Ok(serde_json::from_slice(&json).map_err(Box::from)?)
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// [`InspectError`]
    pub fn row_count(&self, table: Table) -> Result<u64, InspectError> {
        let sql = format!("SELECT count(*) FROM {}", TableDef::of(table).name);
        let count = self.server.database.read(|c| c.query_row(&sql, [], |row| row.get::<_, i64>(0)));
        Ok(u64::try_from(count.map_err(Box::from)?).unwrap_or(0))
    }

    /// The messages of one session, in order of first arrival. Empty for an id that is not a uuid.
    ///
    /// # Errors
    /// [`InspectError`]
    pub fn messages(&self, session: &SessionId) -> Result<Vec<StoredMessage>, InspectError> {
        let Some(session) = Uuid::parse(session.as_str()) else { return Ok(Vec::new()) };
        let read = |connection: &rusqlite::Connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sequence_number, content_encrypted, content_nonce
                 FROM agent_coding_session_messages WHERE session_id = ? ORDER BY arrival",
            )?;
            let rows = statement.query_map(params![&session.0[..]], |row| {
                Ok(StoredMessage {
                    sequence_number: row.get(0)?,
                    content_encrypted: row.get(1)?,
                    content_nonce: row.get(2)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(self.server.database.read(read).map_err(Box::from)?)
    }

    /// Messages that became visible after a higher one of their session, in order of arrival. Rows
    /// of one request become visible together. Rows from before a deletion do not count.
    ///
    /// Where the numbers of a session rise as they are enqueued, each is a fault of the sender.
    /// Otherwise a message may rightly arrive late, because a higher one was sent before it was
    /// enqueued: ask [`overtaken`](Self::overtaken).
    pub fn order_violations(&self) -> Vec<OrderViolation> {
        let violations = self.server.database.violations().into_iter();
        violations
            .map(|(session, sequence_number, highest)| OrderViolation {
                session_id: session.to_string().into(),
                sequence_number,
                highest,
            })
            .collect()
    }

    /// Messages of `session` that became visible after one that has a higher number and was
    /// enqueued later, which no sender may let happen. `enqueued` has the sequence numbers in the
    /// order in which they were enqueued.
    ///
    /// The `highest` of each is that other message.
    pub fn overtaken(&self, session: &SessionId, enqueued: &[i64]) -> Vec<OrderViolation> {
        let Some(id) = Uuid::parse(session.as_str()) else { return Vec::new() };
        let overtaken = self.server.database.overtaken(id, enqueued).into_iter();
        overtaken
            .map(|(sequence_number, highest)| OrderViolation {
                session_id: session.clone(),
                sequence_number,
                highest,
            })
            .collect()
    }

    /// How often a write met a message that was there already: after a lost answer, or to replace
    /// it.
    pub fn messages_rewritten(&self) -> u64 {
        self.server.database.rewritten()
    }
}
