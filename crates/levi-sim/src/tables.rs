//! The tables of repositories and sessions, with their unique keys, foreign keys and row level security, for the
//! real sender of control rows.

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
}

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
            Table::Sessions => self.write_session(&text("id"), &text("repository_id"), conflict),
            _ => Ok(true),
        }
    }

    fn write_repository(&mut self, id: &str, path: &str, conflict: Conflict) -> Result<bool, ApiError> {
        let exists = self.repositories.contains_key(id);
        if exists && conflict == Conflict::Ignore {
            return Ok(false);
        }
        if self.repositories.iter().any(|(other, folder)| other != id && folder == path) {
            return Err(refused(Verdict::Rejected, "23505"));
        }
        self.repositories.insert(id.to_owned(), path.to_owned());
        Ok(true)
    }

    fn write_session(&mut self, id: &str, repository: &str, conflict: Conflict) -> Result<bool, ApiError> {
        let has_repository = self.repositories.contains_key(repository);
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
        let filter = |name: &str| {
            let value =
                select.query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix("=eq."));
            value.unwrap_or_default().replace("%2F", "/")
        };
        let found = |id: String| serde_json::json!({"id": id, "device_id": "d"});
        match select.table {
            Table::Devices => vec![serde_json::json!({"id": "d", "user_id": "u", "name": "d",
                "device_type": "desktop", "public_key": null, "is_active": true})],
            Table::Repositories => {
                let (id, path) = (filter("id"), filter("local_path"));
                let meant =
                    self.repositories.iter().filter(|(known, folder)| **known == id || **folder == path);
                meant.map(|(known, _)| found(known.clone())).collect()
            }
            _ => {
                let id = filter("id");
                let session = self.sessions.get(subject_number(&id)).copied().unwrap_or_default();
                let visible = session.known && !session.forbidden && !session.owned_by_another;
                if visible { vec![found(id)] } else { Vec::new() }
            }
        }
    }
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
                written.push(serde_json::json!({"id": row["id"], "device_id": "d"}));
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
        self.write(update.table, &update.body, Conflict::Update)
    }

    async fn select(&self, _: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        Ok(Value::Array(self.state().find(&select)).to_string().into_bytes())
    }
}
