//! The project: reachable, signed in, and set up as `supabase/migrations` sets it up.
//!
//! What PostgREST does not tell is asked by requests that cannot write: an upsert of no rows names its unique key, and
//! a row of nobody's, with nothing in its required columns, is refused by row level security before anything else
//! looks at it; where no policy is in its way, the columns' own constraints refuse it.

use std::borrow::Cow;

use levi::{
    Answer, DeviceRow, Failure, HttpSupabase, Select, Supabase as _, Table, Upsert, Verdict, decode_rows,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde_json::{Map, Value};

use super::Findings;
use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::error::CliError;
use crate::ids::random_uuid;

const MIGRATE: &str = "run the migrations in supabase/migrations (`supabase db push`); they may be run again";
/// Run again, they leave a table alone that is there.
const ALTER: &str =
    "the table is not Levi's, or older: add what is missing as supabase/migrations has it (`alter table`)";

/// "There is no unique or exclusion constraint matching the ON CONFLICT specification."
const NO_SUCH_KEY: &str = "42P10";

pub(super) async fn check(
    project: &ProjectArgs,
    data: &DataArgs,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let connection = match Connection::open(project, data).await {
        Ok(connection) => connection,
        Err(error) => return findings.problem("server", error.to_string(), "then run this again"),
    };
    if !reach(&connection, findings).await? {
        return Ok(());
    }
    let mut whole = true;
    for table in Table::ALL {
        whole &= Probe { connection: &connection, table, findings }.run().await?;
    }
    if whole { this_device(&connection, findings).await } else { Ok(()) }
}

/// Whether the project answers at all, and takes the sign-in.
async fn reach(connection: &Connection, findings: &mut Findings) -> Result<bool, CliError> {
    let url = &connection.http.api_url;
    let answer = match connection.try_select(Select::probe(Table::Devices)).await {
        Ok(Ok(_)) => {
            findings.ok("server", format!("{url} answers and takes the sign-in"))?;
            return Ok(true);
        }
        Ok(Err(Failure(answer))) => answer,
        Err(error) => {
            findings.problem("server", error.to_string(), "run `levi login` if it goes on")?;
            return Ok(false);
        }
    };
    let advice = match answer.verdict {
        Verdict::Unreachable => {
            "check the address and the network; a paused project must be restored in the dashboard"
        }
        Verdict::SignedOut => "run `levi login`; if that fails too, check the publishable key",
        Verdict::ProjectUnavailable => "the project is paused, restricted or read-only; see its dashboard",
        Verdict::Busy { .. } => "try again in a moment; if it stays, see the project's dashboard",
        // The tables are looked at one by one below.
        _ => return Ok(true),
    };
    findings.problem("server", format!("{url}: {}", Failure(answer)), advice)?;
    Ok(false)
}

/// The checks of one table.
struct Probe<'a> {
    connection: &'a Connection,
    table: Table,
    findings: &'a mut Findings,
}

impl Probe<'_> {
    async fn run(&mut self) -> Result<bool, CliError> {
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
        let sound = self.unique_key().await? && self.policy().await?;
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

    /// PGRST205 (or 42P01) on a read of one column that is always there if the table is.
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
                    let advice = "grant the role `authenticated` access, as the migrations do";
                    self.findings.problem(self.table.name(), failure.to_string(), advice)?;
                    return Ok(missing);
                }
            }
        }
        Ok(missing)
    }

    /// Some servers look at the key for an upsert of no rows, others only for one that has some.
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

    /// A row of nobody's must be refused by row level security, and by nothing before it.
    async fn policy(&mut self) -> Result<bool, CliError> {
        let answer = self.upsert(nobodys_row(self.table)).await?;
        match answer.verdict {
            Verdict::Forbidden => Ok(true),
            _ if answer.code == NO_SUCH_KEY => self.no_unique_key(),
            Verdict::Rejected | Verdict::MissingParent | Verdict::Accepted => {
                let detail = "row level security does not keep other users' rows apart";
                self.findings.problem(self.table.name(), detail, MIGRATE)?;
                Ok(false)
            }
            _ => {
                let detail = format!("whether policies are in force cannot be told: {}", Failure(answer));
                self.findings.note(self.table.name(), detail, "run this again later")?;
                Ok(true)
            }
        }
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

/// A row with ids that belong to nobody, and NULL in every other column.
fn nobodys_row(table: Table) -> Vec<u8> {
    let ids = ["id", "user_id", "device_id", "repository_id", "session_id", "sender_device_id"];
    let row: Map<String, Value> = table
        .columns()
        .split(',')
        .map(|column| {
            let id = || Value::String(random_uuid(&mut UnwrapErr(SysRng)));
            (column.to_owned(), if ids.contains(&column) { id() } else { Value::Null })
        })
        .collect();
    Value::Array(vec![Value::Object(row)]).to_string().into_bytes()
}

/// Whether the server knows this device under this key.
async fn this_device(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    let again = "run `levi login` again";
    let rows = match connection.try_select(Select::device(&connection.device_id)).await? {
        Ok(body) => decode_rows::<DeviceRow>(&body)?,
        Err(failure) => return findings.problem("this device", failure.to_string(), again),
    };
    let own_key = connection.home.private_key()?.public_key().to_base64();
    match rows.first() {
        None => findings.problem("this device", "the server does not know it", again),
        Some(row) if row.public_key.as_deref() != Some(own_key.as_str()) => {
            let detail = "the server has another key for it, so it cannot open what is sealed for it";
            findings.problem("this device", detail, again)
        }
        Some(row) if !row.is_active => {
            findings.problem("this device", "was deactivated; it gets no new secrets", again)
        }
        Some(_) => findings.ok("this device", format!("{} is registered", connection.device_id)),
    }
}
