//! The tables of repositories and sessions, with their unique keys, foreign keys and row level
//! security, for the real sender of control rows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use levi_transport::{ApiError, Select, Supabase, Table, Update, Upsert, Verdict};
use levi_types::AccessToken;
use serde_json::Value;

use crate::content::subject_number;
use crate::plan::{SessionSetup, SessionState};

/// A session as the server has it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionOnServer {
    /// Whether its row is there.
    pub(crate) known: bool,
    /// Whether row level security refuses it for now.
    pub(crate) forbidden: bool,
    /// Whether its id is another user's.
    pub(crate) owned_by_another: bool,
    /// How often its row was inserted.
    pub(crate) inserted: u32,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sessions: Vec<SessionOnServer>,
    /// The folder of each repository, by id.
    pub(crate) repositories: BTreeMap<String, String>,
    /// The nonce of each message, by session and sequence number.
    messages: BTreeMap<(usize, i64), String>,
    /// The messages that were written since they were last taken, and what they replaced.
    written: Vec<MessageWrite>,
}

/// A message that was written.
#[derive(Clone, Debug)]
pub(crate) struct MessageWrite {
    pub(crate) session: usize,
    pub(crate) number: i64,
    /// Whether another device's text was overwritten.
    pub(crate) over_another: bool,
}

impl MessageWrite {
    pub(crate) const fn place(&self) -> (usize, i64) {
        (self.session, self.number)
    }
}

/// The nonce of a text that another device wrote.
const ANOTHER: &str = "another";

/// A handle on the tables.
#[derive(Clone, Default)]
pub(crate) struct Tables(Arc<Mutex<State>>);

/// The folder of a repository on this device.
pub(crate) fn folder(repository: &str) -> String {
    format!("/home/{repository}")
}

impl Tables {
    pub(crate) fn new(sessions: &[SessionSetup], taken_folders: bool) -> Self {
        let on_server = |setup: &SessionSetup| SessionOnServer {
            known: matches!(setup.state, SessionState::Known | SessionState::Forbidden),
            forbidden: setup.state == SessionState::Forbidden,
            owned_by_another: setup.state == SessionState::OwnedByAnother,
            inserted: 0,
        };
        let mut state = State { sessions: sessions.iter().map(on_server).collect(), ..State::default() };
        if taken_folders {
            let known = (0..2).map(|number| (format!("x{number}"), folder(&format!("r{number}"))));
            state.repositories.extend(known);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self, number: usize) -> SessionOnServer {
        self.state().sessions.get(number).copied().unwrap_or_default()
    }

    pub(crate) fn take_written(&self) -> Vec<MessageWrite> {
        std::mem::take(&mut self.state().written)
    }

    /// Another device writes a message. Like Levi, it overwrites no other text.
    pub(crate) fn written_by_another(&self, session: usize, number: i64) {
        let mut state = self.state();
        if state.sessions.get(session).is_some_and(|session| session.known) {
            state.messages.entry((session, number)).or_insert_with(|| ANOTHER.to_owned());
        }
    }

    /// The session is deleted, and its messages with it.
    pub(crate) fn delete(&self, number: usize) {
        let mut state = self.state();
        state.messages.retain(|(session, _), _| *session != number);
        if let Some(session) = state.sessions.get_mut(number) {
            session.known = false;
        }
    }

    pub(crate) fn change(&self, number: usize, change: impl FnOnce(&mut SessionOnServer)) {
        if let Some(session) = self.state().sessions.get_mut(number) {
            change(session);
        }
    }
}

impl State {
    fn write(&mut self, table: Table, row: &Value, conflict: Conflict) -> Result<bool, ApiError> {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        match table {
            Table::Repositories => self.write_repository(&text("id"), &text("local_path"), conflict),
            Table::Messages => Ok(self.write_message(row, conflict)),
            Table::Sessions => self.write_session(&text("id"), &text("repository_id"), conflict),
            _ => Ok(true),
        }
    }

    fn write_message(&mut self, row: &Value, conflict: Conflict) -> bool {
        let session = subject_number(row["session_id"].as_str().unwrap_or_default());
        let number = row["sequence_number"].as_i64().unwrap_or(-1);
        let before = self.messages.get(&(session, number)).cloned();
        if before.is_some() && conflict == Conflict::Ignore {
            return false;
        }
        let nonce = row["content_nonce"].as_str().unwrap_or_default().to_owned();
        self.messages.insert((session, number), nonce);
        let over_another = before.as_deref() == Some(ANOTHER);
        self.written.push(MessageWrite { session, number, over_another });
        true
    }

    fn write_repository(&mut self, id: &str, path: &str, conflict: Conflict) -> Result<bool, ApiError> {
        let exists = self.repositories.contains_key(id);
        match conflict {
            Conflict::Ignore if exists => return Ok(false),
            Conflict::Update if !exists => return Ok(false),
            _ => {}
        }
        if self.repositories.iter().any(|(other, folder)| other != id && folder == path) {
            return Err(refused(Verdict::Rejected, "23505"));
        }
        self.repositories.insert(id.to_owned(), path.to_owned());
        Ok(true)
    }

    fn write_session(&mut self, id: &str, repository: &str, conflict: Conflict) -> Result<bool, ApiError> {
        // An update may leave it out.
        let has_repository = repository.is_empty() || self.repositories.contains_key(repository);
        let Some(session) = self.sessions.get_mut(subject_number(id)) else { return Ok(false) };
        let hidden = session.forbidden || session.owned_by_another;
        match conflict {
            Conflict::Update if hidden || !session.known => return Ok(false),
            Conflict::Ignore if session.owned_by_another || (session.known && !session.forbidden) => {
                return Ok(false);
            }
            _ if hidden => return Err(refused(Verdict::Forbidden, "42501")),
            _ if !has_repository => return Err(refused(Verdict::MissingParent, "23503")),
            _ => {}
        }
        session.inserted += u32::from(!session.known);
        session.known = true;
        Ok(true)
    }

    fn find(&self, select: &Select) -> Vec<Value> {
        let found = |id: &str| serde_json::json!({"id": id, "device_id": "d"});
        match select.table {
            Table::Devices => vec![serde_json::json!({"id": "d", "user_id": "u", "name": "d",
                "device_type": "desktop", "public_key": null, "is_active": true})],
            Table::Repositories => {
                let (id, path) = (filter(&select.query, "id"), filter(&select.query, "local_path"));
                let meant =
                    self.repositories.iter().filter(|(known, folder)| **known == id || **folder == path);
                meant.map(|(known, _)| found(known)).collect()
            }
            Table::Messages => self.find_messages(&select.query),
            _ => {
                let id = filter(&select.query, "id");
                let session = self.sessions.get(subject_number(&id)).copied().unwrap_or_default();
                let visible = session.known && !session.forbidden && !session.owned_by_another;
                if visible { vec![found(&id)] } else { Vec::new() }
            }
        }
    }

    fn find_messages(&self, query: &str) -> Vec<Value> {
        let session = subject_number(&filter(query, "session_id"));
        let numbers = query.split_once("sequence_number=in.(").and_then(|(_, rest)| rest.split_once(')'));
        let numbers = numbers.map(|(numbers, _)| numbers).unwrap_or_default();
        let numbers = numbers.split(',').filter_map(|number| number.parse::<i64>().ok());
        let row = |number: i64| {
            let nonce = self.messages.get(&(session, number))?;
            Some(serde_json::json!({"sequence_number": number, "content_nonce": nonce}))
        };
        numbers.filter_map(row).collect()
    }
}

/// The value that a query asks a column to have.
fn filter(query: &str, name: &str) -> String {
    let value = query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix("=eq."));
    value.unwrap_or_default().replace("%2F", "/").replace("%2B", "+").replace("%3D", "=")
}

/// What a write does with a row that is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conflict {
    Merge,
    Ignore,
    /// It does nothing where there is none.
    Update,
}

fn refused(verdict: Verdict, code: &str) -> ApiError {
    ApiError::new(verdict, code, "")
}

fn parse(body: &[u8]) -> Result<Vec<Value>, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|_| refused(Verdict::Rejected, "PGRST102"))?;
    Ok(match value {
        Value::Array(rows) => rows,
        row => vec![row],
    })
}

impl Tables {
    fn write(&self, table: Table, body: &[u8], conflict: Conflict) -> Result<Vec<u8>, ApiError> {
        let mut written = Vec::new();
        for row in parse(body)? {
            if self.state().write(table, &row, conflict)? {
                written.push(match table {
                    Table::Messages => serde_json::json!({
                        "session_id": row["session_id"], "sequence_number": row["sequence_number"]
                    }),
                    _ => serde_json::json!({"id": row["id"], "device_id": "d"}),
                });
            }
        }
        Ok(Value::Array(written).to_string().into_bytes())
    }
}

#[async_trait]
impl Supabase for Tables {
    async fn upsert(&self, _: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        self.write(upsert.table, &upsert.body, Conflict::Merge).map(drop)
    }

    async fn insert(&self, _: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        self.write(insert.table, &insert.body, Conflict::Ignore)
    }

    async fn update(&self, _: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        if update.table == Table::Messages {
            let session = subject_number(&filter(&update.query, "session_id"));
            let number = filter(&update.query, "sequence_number").parse().unwrap_or(-1);
            let expected = filter(&update.query, "content_nonce");
            if self.state().messages.get(&(session, number)) != Some(&expected) {
                return Ok(b"[]".to_vec());
            }
        }
        self.write(update.table, &update.body, Conflict::Update)
    }

    async fn select(&self, _: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        Ok(Value::Array(self.state().find(&select)).to_string().into_bytes())
    }
}
