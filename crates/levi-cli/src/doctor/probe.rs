//! The checks of one table.
//!
//! PostgREST does not list unique keys and policies, so they are found out with requests that a
//! table set up for Levi refuses. An upsert of no rows names the unique key. A row without required
//! columns reaches the column constraints only if row level security lets it pass: a row of an
//! unknown user must be stopped before, a row of this user must not. A table without these
//! constraints accepts the row; the finding then says that the row was written.
//!
//! Foreign keys are found by embedding ([`relations`]). Types, primary keys and which columns may be NULL are in the
//! description of the tables ([`columns`]), where the project shows it.

use std::borrow::Cow;

use levi::transport::rows::decode_rows;
use levi::transport::{ApiError, Select, Supabase as _, Table, Update, Upsert, Verdict};
use levi::{DeviceId, HttpSupabase, SessionId};
use serde::Deserialize;

use super::columns::ALTER;
use super::description::Description;
use super::{Findings, columns, relations, rows};
use crate::connection::Connection;
use crate::error::CliError;

pub(super) const MIGRATE: &str =
    "run the migrations in supabase/migrations (`supabase db push`); they can be run more than once";
/// "There is no unique or exclusion constraint matching the ON CONFLICT specification."
const NO_SUCH_KEY: &str = "42P10";

/// "Operator does not exist": PostgreSQL matches patterns on text only.
const NO_SUCH_OPERATOR: &str = "42883";
const MAKE_TEXT: &str = "`alter table ... alter column ... type text` with the old values written as base64: \
                         `using encode(column, 'base64')`";

/// A session of this user, for test rows of messages and secrets.
#[derive(Deserialize)]
struct OwnSession {
    id: SessionId,
    device_id: DeviceId,
}

pub(super) struct Probe<'a> {
    connection: &'a Connection,
    table: Table,
    description: Option<&'a Description>,
    findings: &'a mut Findings,
}

impl<'a> Probe<'a> {
    pub(super) const fn new(
        connection: &'a Connection,
        table: Table,
        description: Option<&'a Description>,
        findings: &'a mut Findings,
    ) -> Self {
        Self { connection, table, description, findings }
    }

    /// Whether the table is set up as Levi needs it.
    pub(super) async fn run(&mut self) -> Result<bool, CliError> {
        let name = self.table.name();
        let missing = match self.select(self.table.columns()).await? {
            Ok(()) => Vec::new(),
            Err(error) if table_is_missing(&error) => return self.missing_table(),
            Err(_) => self.missing_columns().await?,
        };
        for column in &missing {
            self.findings.problem(name, format!("the column {column} is missing"), MIGRATE)?;
        }
        if !missing.is_empty() {
            return Ok(false);
        }
        let sound = self.base64_columns_are_text().await?
            && self.unique_key().await?
            && self.refuses_foreign_rows().await?
            && self.accepts_own_rows().await?;
        let sound = self.described().await? && sound;
        if sound {
            let columns = self.table.columns().split(',').count();
            let what =
                format!("{columns} columns, unique ({}), row level security", self.table.conflict_columns());
            self.findings.ok(name, what)?;
        }
        Ok(sound)
    }

    /// A project with the first migration only has everything that syncing needs.
    fn missing_table(&mut self) -> Result<bool, CliError> {
        let name = self.table.name();
        if Table::TRUST.contains(&self.table) {
            let detail = "the table is missing; only a signed device list needs it";
            self.findings.note(name, detail, MIGRATE)?;
        } else {
            self.findings.problem(name, "the table is missing", MIGRATE)?;
        }
        Ok(false)
    }

    async fn select(&self, columns: &str) -> Result<Result<(), ApiError>, CliError> {
        let query = format!("select={columns}&limit=0");
        Ok(self.connection.try_select(Select { table: self.table, query }).await?.map(drop))
    }

    async fn missing_columns(&mut self) -> Result<Vec<&'static str>, CliError> {
        let mut missing = Vec::new();
        for column in self.table.columns().split(',') {
            match self.select(column).await? {
                Ok(()) => {}
                Err(error) if error.verdict == Verdict::SchemaMismatch => missing.push(column),
                Err(error) => {
                    let advice = "grant access to the role `authenticated`, as the migrations do";
                    self.findings.problem(self.table.name(), error.to_string(), advice)?;
                    return Ok(missing);
                }
            }
        }
        Ok(missing)
    }

    /// No device can read a `bytea` column, because PostgREST shows it in hexadecimal.
    async fn base64_columns_are_text(&mut self) -> Result<bool, CliError> {
        let mut all_text = true;
        for column in self.table.base64_columns() {
            let probe = Select::text_probe(self.table, column);
            let Err(error) = self.connection.try_select(probe).await? else { continue };
            all_text = false;
            if error.code == NO_SUCH_OPERATOR {
                let detail = format!("the column {column} is not text, so what it stores cannot be read");
                self.findings.problem(self.table.name(), detail, MAKE_TEXT)?;
            } else {
                self.undecided(&error)?;
            }
        }
        Ok(all_text)
    }

    /// What the description of the tables says of this one, and its foreign keys.
    async fn described(&mut self) -> Result<bool, CliError> {
        let before = self.findings.problems;
        let definition = self.description.and_then(|description| description.table(self.table));
        if let Some(definition) = definition {
            columns::check(self.table, definition, self.findings)?;
            columns::primary_key(self.table, definition, self.findings)?;
        }
        relations::check(self.connection, self.table, definition, self.findings).await?;
        Ok(self.findings.problems == before)
    }

    /// Some servers check the unique key even for an upsert of no rows; others check it with the
    /// next test.
    async fn unique_key(&mut self) -> Result<bool, CliError> {
        if self.table == Table::DeviceList {
            return Ok(self.key_of_the_list().await? && self.is_append_only().await?);
        }
        match self.write(b"[]".to_vec()).await? {
            Ok(()) => Ok(true),
            Err(error) if error.code == NO_SUCH_KEY => self.no_unique_key(),
            Err(error) => {
                let detail = format!("an empty upsert was refused: {error}");
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
        }
    }

    /// Nobody may merge into the list of devices, but its key is looked up before the privilege to do so. A row of an
    /// unknown user, because some servers look nothing up for no rows.
    async fn key_of_the_list(&mut self) -> Result<bool, CliError> {
        let token = self.connection.token().await?;
        let merge = self.rows(rows::foreign(self.table));
        match self.connection.supabase().upsert(&token, merge).await {
            Err(error) if error.code == NO_SUCH_KEY => self.no_unique_key(),
            Err(_) => Ok(true),
            Ok(()) => self.accepts_foreign_rows(
                "row level security does not keep other users' rows apart; a test row was written",
            ),
        }
    }

    /// Nobody needs the privilege to update the list of devices. The slot is one that cannot exist.
    async fn is_append_only(&mut self) -> Result<bool, CliError> {
        let (table, body) = (self.table, br#"{"cosignature":null}"#.to_vec());
        let update = Update { table, query: "slot=eq.-1".to_owned(), body };
        let token = self.connection.token().await?;
        if self.connection.supabase().update(&token, update).await.is_ok() {
            let detail = "users have the privilege to update; only that no policy allows it keeps the list append-only";
            let advice = "`revoke update, delete on public.levi_device_list from authenticated`";
            self.findings.note(self.table.name(), detail, advice)?;
        }
        Ok(true)
    }

    /// A row of an unknown user must be refused by row level security.
    async fn refuses_foreign_rows(&mut self) -> Result<bool, CliError> {
        let Err(error) = self.write(rows::foreign(self.table)).await? else {
            return self.accepts_foreign_rows(
                "row level security does not keep other users' rows apart; a test row was written",
            );
        };
        match error.verdict {
            Verdict::Forbidden => Ok(true),
            _ if error.code == NO_SUCH_KEY => self.no_unique_key(),
            Verdict::Rejected | Verdict::MissingParent => {
                self.accepts_foreign_rows("row level security does not keep other users' rows apart")
            }
            _ => self.undecided(&error),
        }
    }

    fn accepts_foreign_rows(&mut self, detail: &str) -> Result<bool, CliError> {
        self.findings.problem(self.table.name(), detail, MIGRATE)?;
        Ok(false)
    }

    /// An incomplete row of this user must pass row level security and be refused because of the
    /// missing columns.
    async fn accepts_own_rows(&mut self) -> Result<bool, CliError> {
        let Some(row) = self.own_row().await? else {
            let detail = "whether a policy lets you write cannot be checked before your first session";
            self.findings.note(self.table.name(), detail, "run this again after the first `levi sync`")?;
            return Ok(true);
        };
        let Err(error) = self.write(row).await? else {
            let detail = "it accepts rows without required columns; an empty test row was written";
            self.findings.problem(self.table.name(), detail, ALTER)?;
            return Ok(false);
        };
        match error.verdict {
            Verdict::Rejected => Ok(true),
            Verdict::Forbidden => {
                let detail = format!("no policy lets you write: {error}");
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
            _ => self.undecided(&error),
        }
    }

    /// An incomplete row of this user; `None` if the row needs a session and the user has none.
    async fn own_row(&self) -> Result<Option<Vec<u8>>, CliError> {
        let user_id = self.connection.user_id.as_str();
        if !matches!(self.table, Table::Messages | Table::Secrets) {
            return Ok(Some(rows::incomplete(self.table, &[("user_id", user_id)])));
        }
        let query = format!("select=id,device_id&user_id=eq.{user_id}&limit=1");
        let found = self.connection.try_select(Select { table: Table::Sessions, query }).await?;
        let sessions: Vec<OwnSession> =
            found.ok().map(|body| decode_rows(&body)).transpose()?.unwrap_or_default();
        Ok(sessions.first().map(|session| {
            let ids = [("session_id", session.id.as_str()), ("device_id", session.device_id.as_str())];
            rows::incomplete(self.table, &ids)
        }))
    }

    fn undecided(&mut self, error: &ApiError) -> Result<bool, CliError> {
        let detail = format!("whether policies are in force cannot be checked: {error}");
        self.findings.note(self.table.name(), detail, "run this again later")?;
        Ok(true)
    }

    fn no_unique_key(&mut self) -> Result<bool, CliError> {
        let detail = format!("there is no unique key on ({})", self.table.conflict_columns());
        self.findings.problem(self.table.name(), detail, ALTER)?;
        Ok(false)
    }

    /// Writes by the table's unique key. In the list of devices what is there is left alone, which needs no privilege to
    /// update.
    async fn write(&self, body: Vec<u8>) -> Result<Result<(), ApiError>, CliError> {
        let token = self.connection.token().await?;
        let supabase: &HttpSupabase = self.connection.supabase();
        Ok(match self.table {
            Table::DeviceList => supabase.insert(&token, self.rows(body)).await.map(drop),
            _ => supabase.upsert(&token, self.rows(body)).await,
        })
    }

    const fn rows(&self, body: Vec<u8>) -> Upsert {
        Upsert { table: self.table, columns: Cow::Borrowed(self.table.columns()), body }
    }
}

/// PGRST205 (or 42P01) on a read of one column that is always there if the table is.
fn table_is_missing(error: &ApiError) -> bool {
    matches!(error.code.as_str(), "PGRST205" | "42P01")
}
