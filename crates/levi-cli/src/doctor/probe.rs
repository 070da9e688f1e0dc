//! One table, and what PostgREST does not tell of it.
//!
//! That is asked by requests that a sound table cannot take. An upsert of no rows names its unique key. A row that
//! lacks what its columns require reaches their constraints only if row level security lets it pass: one of nobody's
//! must not, one of the user's own must. A table without those constraints takes the row; then that is the finding, and
//! it says that the row is there.

use std::borrow::Cow;

use levi::{
    ApiError, DeviceId, HttpSupabase, Select, SessionId, Supabase as _, Table, Upsert, Verdict, decode_rows,
};
use serde::Deserialize;

use super::{Findings, rows};
use crate::connection::Connection;
use crate::error::CliError;

const MIGRATE: &str = "run the migrations in supabase/migrations (`supabase db push`); they may be run again";
/// Run again, they leave a table alone that is there.
const ALTER: &str =
    "the table is not Levi's, or older: add what is missing as supabase/migrations has it (`alter table`)";

/// "There is no unique or exclusion constraint matching the ON CONFLICT specification."
const NO_SUCH_KEY: &str = "42P10";

/// A session that messages and secrets can be tried with.
#[derive(Deserialize)]
struct OwnSession {
    id: SessionId,
    device_id: DeviceId,
}

/// The checks of one table.
pub(super) struct Probe<'a> {
    connection: &'a Connection,
    table: Table,
    findings: &'a mut Findings,
}

impl<'a> Probe<'a> {
    pub(super) const fn new(connection: &'a Connection, table: Table, findings: &'a mut Findings) -> Self {
        Self { connection, table, findings }
    }

    /// Whether the table is as Levi needs it.
    pub(super) async fn run(&mut self) -> Result<bool, CliError> {
        let name = self.table.name();
        let missing = match self.select(self.table.columns()).await? {
            Ok(()) => Vec::new(),
            Err(error) if table_is_missing(&error) => {
                self.findings.problem(name, "the table is missing", MIGRATE)?;
                return Ok(false);
            }
            Err(_) => self.missing_columns().await?,
        };
        for column in &missing {
            self.findings.problem(name, format!("the column {column} is missing"), ALTER)?;
        }
        if !missing.is_empty() {
            return Ok(false);
        }
        let sound = self.unique_key().await? && self.keeps_others_out().await? && self.lets_in().await?;
        if sound {
            let columns = self.table.columns().split(',').count();
            let what =
                format!("{columns} columns, unique ({}), row level security", self.table.conflict_columns());
            self.findings.ok(name, what)?;
        }
        Ok(sound)
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
                    let advice = "grant the role `authenticated` access, as the migrations do";
                    self.findings.problem(self.table.name(), error.to_string(), advice)?;
                    return Ok(missing);
                }
            }
        }
        Ok(missing)
    }

    /// Some servers look at the key for an upsert of no rows, others only for one that has some.
    async fn unique_key(&mut self) -> Result<bool, CliError> {
        match self.upsert(b"[]".to_vec()).await? {
            Ok(()) => Ok(true),
            Err(error) if error.code == NO_SUCH_KEY => self.no_unique_key(),
            Err(error) => {
                let detail = format!("an empty upsert was refused: {error}");
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
        }
    }

    /// A row of nobody's must be refused by row level security, and by nothing before it.
    async fn keeps_others_out(&mut self) -> Result<bool, CliError> {
        let Err(error) = self.upsert(rows::nobodys(self.table)).await? else {
            return self.lets_others_in(
                "row level security does not keep other users' rows apart; a row of nobody's is there now",
            );
        };
        match error.verdict {
            Verdict::Forbidden => Ok(true),
            _ if error.code == NO_SUCH_KEY => self.no_unique_key(),
            Verdict::Rejected | Verdict::MissingParent => {
                self.lets_others_in("row level security does not keep other users' rows apart")
            }
            _ => self.not_told(&error),
        }
    }

    fn lets_others_in(&mut self, detail: &str) -> Result<bool, CliError> {
        self.findings.problem(self.table.name(), detail, MIGRATE)?;
        Ok(false)
    }

    /// An unfinished row of the user's own must pass row level security, and be refused by what it lacks.
    async fn lets_in(&mut self) -> Result<bool, CliError> {
        let Some(row) = self.own_row().await? else {
            let detail = "whether a policy lets you in cannot be told before your first session";
            self.findings.note(self.table.name(), detail, "run this again after the first `levi sync`")?;
            return Ok(true);
        };
        let Err(error) = self.upsert(row).await? else {
            let detail = "it takes rows that lack what they must have; one with nothing in it is there now";
            self.findings.problem(self.table.name(), detail, ALTER)?;
            return Ok(false);
        };
        match error.verdict {
            Verdict::Rejected => Ok(true),
            Verdict::Forbidden => {
                let detail = format!("no policy lets you in: {error}");
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
            _ => self.not_told(&error),
        }
    }

    /// `None` where there must be a session for it, and there is none.
    async fn own_row(&self) -> Result<Option<Vec<u8>>, CliError> {
        let user_id = self.connection.user_id.as_str();
        if !matches!(self.table, Table::Messages | Table::Secrets) {
            return Ok(Some(rows::unfinished(self.table, &[("user_id", user_id)])));
        }
        let query = format!("select=id,device_id&user_id=eq.{user_id}&limit=1");
        let found = self.connection.try_select(Select { table: Table::Sessions, query }).await?;
        let sessions: Vec<OwnSession> =
            found.ok().map(|body| decode_rows(&body)).transpose()?.unwrap_or_default();
        Ok(sessions.first().map(|session| {
            let ids = [("session_id", session.id.as_str()), ("device_id", session.device_id.as_str())];
            rows::unfinished(self.table, &ids)
        }))
    }

    fn not_told(&mut self, error: &ApiError) -> Result<bool, CliError> {
        let detail = format!("whether policies are in force cannot be told: {error}");
        self.findings.note(self.table.name(), detail, "run this again later")?;
        Ok(true)
    }

    fn no_unique_key(&mut self) -> Result<bool, CliError> {
        let detail = format!("there is no unique key on ({})", self.table.conflict_columns());
        self.findings.problem(self.table.name(), detail, ALTER)?;
        Ok(false)
    }

    async fn upsert(&self, body: Vec<u8>) -> Result<Result<(), ApiError>, CliError> {
        let upsert = Upsert { table: self.table, columns: Cow::Borrowed(self.table.columns()), body };
        let token = self.connection.token().await?;
        let supabase: &HttpSupabase = self.connection.supabase();
        Ok(supabase.upsert(&token, upsert).await)
    }
}

/// PGRST205 (or 42P01) on a read of one column that is always there if the table is.
fn table_is_missing(error: &ApiError) -> bool {
    matches!(error.code.as_str(), "PGRST205" | "42P01")
}
