//! The checks of one table.
//!
//! PostgREST does not list unique keys and policies, so they are found out with requests that a
//! table set up for Levi refuses. An upsert of no rows names the unique key. A row without required
//! columns reaches the column constraints only if row level security lets it pass: a row of an
//! unknown user must be stopped before, a row of this user must not. A table without these
//! constraints accepts the row; the finding then says that the row was written.

use std::borrow::Cow;

use levi::{
    Answer, DeviceId, Failure, HttpSupabase, Select, SessionId, Supabase as _, Table, Upsert, Verdict,
    decode_rows,
};
use serde::Deserialize;

use super::{Findings, rows};
use crate::connection::Connection;
use crate::error::CliError;

const MIGRATE: &str =
    "run the migrations in supabase/migrations (`supabase db push`); they can be run more than once";
/// For a table that exists: the migrations do not change it.
const ALTER: &str =
    "the table is older, or not Levi's: add what is missing as in supabase/migrations (`alter table`)";

/// "There is no unique or exclusion constraint matching the ON CONFLICT specification."
const NO_SUCH_KEY: &str = "42P10";

/// A session of this user, for test rows of messages and secrets.
#[derive(Deserialize)]
struct OwnSession {
    id: SessionId,
    device_id: DeviceId,
}

pub(super) struct Probe<'a> {
    connection: &'a Connection,
    table: Table,
    findings: &'a mut Findings,
}

impl<'a> Probe<'a> {
    pub(super) const fn new(connection: &'a Connection, table: Table, findings: &'a mut Findings) -> Self {
        Self { connection, table, findings }
    }

    /// Whether the table is set up as Levi needs it.
    pub(super) async fn run(&mut self) -> Result<bool, CliError> {
        let name = self.table.name();
        let missing = match self.select(self.table.columns()).await? {
            Ok(()) => Vec::new(),
            Err(failure) if self.table_is_missing(&failure) => {
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
        let sound =
            self.unique_key().await? && self.refuses_foreign_rows().await? && self.accepts_own_rows().await?;
        if sound {
            let columns = self.table.columns().split(',').count();
            let what =
                format!("{columns} columns, unique ({}), row level security", self.table.conflict_columns());
            self.findings.ok(name, what)?;
        }
        Ok(sound)
    }

    async fn select(&self, columns: &str) -> Result<Result<(), Failure>, CliError> {
        let query = format!("select={columns}&limit=0");
        Ok(self.connection.try_select(Select { table: self.table, query }).await?.map(drop))
    }

    /// PGRST205 is PostgREST's code for a missing table, 42P01 PostgreSQL's.
    fn table_is_missing(&self, failure: &Failure) -> bool {
        matches!(failure.0.code.as_str(), "PGRST205" | "42P01")
    }

    async fn missing_columns(&mut self) -> Result<Vec<&'static str>, CliError> {
        let mut missing = Vec::new();
        for column in self.table.columns().split(',') {
            match self.select(column).await? {
                Ok(()) => {}
                Err(Failure(Answer { verdict: Verdict::SchemaMismatch, .. })) => missing.push(column),
                Err(failure) => {
                    let advice = "grant access to the role `authenticated`, as the migrations do";
                    self.findings.problem(self.table.name(), failure.to_string(), advice)?;
                    return Ok(missing);
                }
            }
        }
        Ok(missing)
    }

    /// Some servers check the unique key even for an upsert of no rows; others check it with the
    /// next test.
    async fn unique_key(&mut self) -> Result<bool, CliError> {
        let answer = self.upsert(b"[]".to_vec()).await?;
        match answer.verdict {
            Verdict::Accepted => Ok(true),
            _ if answer.code == NO_SUCH_KEY => self.no_unique_key(),
            _ => {
                let detail = format!("an empty upsert was refused: {}", Failure(answer));
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
        }
    }

    /// A row of an unknown user must be refused by row level security.
    async fn refuses_foreign_rows(&mut self) -> Result<bool, CliError> {
        let answer = self.upsert(rows::foreign(self.table)).await?;
        match answer.verdict {
            Verdict::Forbidden => Ok(true),
            _ if answer.code == NO_SUCH_KEY => self.no_unique_key(),
            Verdict::Rejected | Verdict::MissingParent | Verdict::Accepted => {
                let detail = if answer.verdict == Verdict::Accepted {
                    "row level security does not keep other users' rows apart; a test row was written"
                } else {
                    "row level security does not keep other users' rows apart"
                };
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
            _ => self.undecided(answer),
        }
    }

    /// An incomplete row of this user must pass row level security and be refused because of the
    /// missing columns.
    async fn accepts_own_rows(&mut self) -> Result<bool, CliError> {
        let Some(row) = self.own_row().await? else {
            let detail = "whether a policy lets you write cannot be checked before your first session";
            self.findings.note(self.table.name(), detail, "run this again after the first `levi sync`")?;
            return Ok(true);
        };
        let answer = self.upsert(row).await?;
        match answer.verdict {
            Verdict::Rejected => Ok(true),
            Verdict::Forbidden => {
                let detail = format!("no policy lets you write: {}", Failure(answer));
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
            Verdict::Accepted => {
                let detail = "it accepts rows without required columns; an empty test row was written";
                self.findings.problem(self.table.name(), detail, ALTER)?;
                Ok(false)
            }
            _ => self.undecided(answer),
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

    fn undecided(&mut self, answer: Answer) -> Result<bool, CliError> {
        let detail = format!("whether policies are in force cannot be checked: {}", Failure(answer));
        self.findings.note(self.table.name(), detail, "run this again later")?;
        Ok(true)
    }

    fn no_unique_key(&mut self) -> Result<bool, CliError> {
        let detail = format!("there is no unique key on ({})", self.table.conflict_columns());
        self.findings.problem(self.table.name(), detail, ALTER)?;
        Ok(false)
    }

    async fn upsert(&self, body: Vec<u8>) -> Result<Answer, CliError> {
        let upsert = Upsert { table: self.table, columns: Cow::Borrowed(self.table.columns()), body };
        let token = self.connection.token().await?;
        let supabase: &HttpSupabase = self.connection.supabase();
        Ok(supabase.upsert(&token, upsert).await)
    }
}
