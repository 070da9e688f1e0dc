//! Tables behind the port `Supabase`: enough of PostgREST for what readers and session sync ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use levi_transport::{ApiError, Select, Supabase, Table, Update, Upsert, Verdict};
use levi_types::{AccessToken, SessionId, UserId};
use serde_json::{Map, Value};

type Row = Map<String, Value>;

/// The project. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Project {
    state: Arc<Mutex<State>>,
    /// Whose requests are outside of all faults.
    is_owner: bool,
}

#[derive(Default)]
struct State {
    rows: Vec<(Table, Row)>,
    /// The most rows of one answer; zero: all.
    max_rows: usize,
    /// Selects that fail before one succeeds.
    busy: u32,
    /// Whose messages are written.
    user: Option<UserId>,
    /// The last number of the change feed.
    changes: i64,
    /// Whether no request arrives.
    is_down: bool,
    /// The token that is accepted; `None`: any.
    token: Option<AccessToken>,
}

impl Project {
    /// A project whose messages are all this user's.
    pub(super) fn of(user: &UserId) -> Self {
        let project = Self::default();
        project.state().user = Some(user.clone());
        project
    }

    pub(super) fn limit(&self, max_rows: usize) {
        self.state().max_rows = max_rows;
    }

    /// The next few reads are answered with 57014.
    pub(super) fn time_out(&self, reads: u32) {
        self.state().busy = reads;
    }

    /// The same project for the device that writes: its requests meet no faults.
    pub(super) fn as_owner(&self) -> Self {
        Self { is_owner: true, ..self.clone() }
    }

    /// From now on no request arrives, or they do again.
    pub(super) fn set_down(&self, is_down: bool) {
        self.state().is_down = is_down;
    }

    /// Accepts this token only.
    pub(super) fn accept_only(&self, token: AccessToken) {
        self.state().token = Some(token);
    }

    /// Deletes a session, and with it its messages and secrets.
    pub(super) fn delete_session(&self, session: &SessionId) {
        let is_of =
            |row: &Row| text(row, "session_id") == session.as_str() || text(row, "id") == session.as_str();
        self.state().rows.retain(|(_, row)| !is_of(row));
    }

    /// Writes rows (a JSON array), replacing those with the same key.
    pub(super) fn write(&self, table: Table, body: &[u8]) -> Result<(), ApiError> {
        let rows: Vec<Row> = serde_json::from_slice(body).map_err(|_| bad_request())?;
        let key: Vec<&str> = table.conflict_columns().split(',').collect();
        let mut state = self.state();
        for mut row in rows {
            let same = |other: &Row| key.iter().all(|column| other.get(*column) == row.get(*column));
            let old = state.rows.iter().position(|(other, stored)| *other == table && same(stored));
            let stored = old.and_then(|at| state.rows.get(at)).map(|(_, stored)| stored);
            // What is sent again unchanged is no change.
            let changes = |stored: &Row| row.iter().any(|(column, value)| stored.get(column) != Some(value));
            if table == Table::Messages && stored.is_none_or(changes) {
                state.fill_in(&mut row);
            }
            match old.and_then(|at| state.rows.get_mut(at)) {
                // As an upsert does: columns that are not named keep their value.
                Some((_, stored)) => stored.extend(row),
                None => state.rows.push((table, row)),
            }
        }
        Ok(())
    }

    /// Writes rows (a JSON array) whose key no row has yet, and returns those.
    fn insert_new(&self, table: Table, body: &[u8]) -> Result<Vec<Row>, ApiError> {
        let rows: Vec<Row> = serde_json::from_slice(body).map_err(|_| bad_request())?;
        let key: Vec<&str> = table.conflict_columns().split(',').collect();
        let mut state = self.state();
        let mut inserted = Vec::new();
        for mut row in rows {
            let same = |other: &Row| key.iter().all(|column| other.get(*column) == row.get(*column));
            if !state.rows.iter().any(|(other, stored)| *other == table && same(stored)) {
                if table == Table::Messages {
                    state.fill_in(&mut row);
                }
                state.rows.push((table, row.clone()));
                inserted.push(row);
            }
        }
        Ok(inserted)
    }

    /// Writes columns (a JSON object) into the rows that the filters select, and returns those.
    fn change(&self, update: &Update) -> Result<Vec<Row>, ApiError> {
        let columns: Row = serde_json::from_slice(&update.body).map_err(|_| bad_request())?;
        let filters: Vec<(&str, &str)> =
            update.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let mut state = self.state();
        let mut changed = Vec::new();
        for (_, row) in state.rows.iter_mut().filter(|(table, _)| *table == update.table) {
            if filters.iter().all(|(column, filter)| passes(row, column, filter)) {
                row.extend(columns.clone());
                changed.push(row.clone());
            }
        }
        Ok(changed)
    }

    fn read(&self, token: &AccessToken, select: &Select) -> Result<Vec<u8>, ApiError> {
        let mut state = self.state();
        if state.is_down && !self.is_owner {
            return Err(ApiError::new(Verdict::Unreachable, "refused", ""));
        }
        if !self.is_owner && state.token.as_ref().is_some_and(|accepted| accepted != token) {
            return Err(ApiError::new(Verdict::SignedOut, "PGRST303", ""));
        }
        if state.busy > 0 && !self.is_owner {
            state.busy -= 1;
            return Err(ApiError::new(Verdict::Busy, "57014", ""));
        }
        let pairs: Vec<(&str, &str)> =
            select.query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let of = |name: &str| pairs.iter().find(|(column, _)| *column == name).map(|(_, value)| *value);
        let matches = |row: &&Row| pairs.iter().all(|(column, filter)| passes(row, column, filter));
        let mut found: Vec<&Row> = state
            .rows
            .iter()
            .filter(|(table, _)| *table == select.table)
            .map(|(_, row)| row)
            .filter(matches)
            .collect();
        if let Some(column) = of("order") {
            let (column, is_falling) = match column.strip_suffix(".desc") {
                Some(column) => (column, true),
                None => (column, false),
            };
            found.sort_by_key(|row| (row.get(column).and_then(Value::as_i64), text(row, column)));
            if is_falling {
                found.reverse();
            }
        }
        let limit = of("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let most = if state.max_rows == 0 { usize::MAX } else { state.max_rows };
        found.truncate(limit.min(most));
        serde_json::to_vec(&found).map_err(|_| bad_request())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The columns that the database fills in when a message is new or another one.
    fn fill_in(&mut self, row: &mut Row) {
        self.changes += 1;
        row.insert("change_id".to_owned(), self.changes.into());
        if let Some(user) = &self.user {
            row.insert("user_id".to_owned(), user.as_str().into());
        }
    }
}

#[async_trait]
impl Supabase for Project {
    async fn upsert(&self, _: &AccessToken, upsert: Upsert) -> Result<(), ApiError> {
        self.write(upsert.table, &upsert.body)
    }

    async fn insert(&self, _: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(&self.insert_new(insert.table, &insert.body)?).map_err(|_| bad_request())
    }

    async fn update(&self, _: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError> {
        serde_json::to_vec(&self.change(&update)?).map_err(|_| bad_request())
    }

    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError> {
        self.read(token, &select)
    }
}

/// Whether the row passes a filter; `select`, `order` and `limit` are none.
fn passes(row: &Row, column: &str, filter: &str) -> bool {
    let number = || row.get(column).and_then(Value::as_i64);
    match filter.split_once('.') {
        Some(("eq", "true")) => row.get(column) == Some(&Value::Bool(true)),
        Some(("eq", value)) => match number() {
            Some(number) => value.parse() == Ok(number),
            None => text(row, column) == value,
        },
        Some(("gt", value)) => match number() {
            Some(number) => value.parse().is_ok_and(|value: i64| number > value),
            None => text(row, column).as_str() > value,
        },
        Some(("lte", value)) => {
            number().is_some_and(|number| value.parse().is_ok_and(|value: i64| number <= value))
        }
        Some(("in", list)) => {
            let list = list.trim_start_matches('(').trim_end_matches(')');
            list.split(',').any(|value| text(row, column) == value)
        }
        Some(("not", "is.null")) => row.get(column).is_some_and(|value| !value.is_null()),
        _ => true,
    }
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn bad_request() -> ApiError {
    ApiError::new(Verdict::Rejected, "PGRST102", "")
}
