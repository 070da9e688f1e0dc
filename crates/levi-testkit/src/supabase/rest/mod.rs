//! `/rest/v1`: PostgREST for the tables of `supabase/migrations`.

mod change_feed;
mod constraint;
pub(crate) mod error;
mod insert;
mod modify;
mod openapi;
mod payload;
mod policy;
mod prefer;
mod query;
mod select;

pub(crate) use insert::{Applied, Written};
pub(crate) use query::decode;

use levi_transport::Table;

use self::error::RestError;
use self::insert::{Conflict, Insert};
use self::prefer::{Prefer, Resolution, Return};
use self::query::Query;
use self::select::Rows;
use super::database::{Database, MessageWrite};
use super::faults::ReadFault;
use super::http::{Request, Response};
use super::realtime::WrittenRow;
use super::role::Role;
use super::schema::{Grants, TableDef};

/// An answer, and what to count for it.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    pub(crate) table: Option<Table>,
    pub(crate) rows_inserted: u64,
    pub(crate) rows_updated: u64,
    pub(crate) rows_read: u64,
    /// What Realtime reports.
    pub(crate) written: Vec<WrittenRow>,
}

impl Outcome {
    pub(crate) const fn plain(response: Response, table: Option<Table>) -> Self {
        Self { response, table, rows_inserted: 0, rows_updated: 0, rows_read: 0, written: Vec::new() }
    }
}

/// The table in a path.
pub(crate) fn table_of(path: &str) -> Option<&'static TableDef> {
    TableDef::named(path.strip_prefix("/rest/v1/")?)
}

/// How rows are read.
#[derive(Clone, Copy)]
pub(crate) struct Reads {
    /// The most rows of one answer.
    pub(crate) max_rows: u64,
    pub(crate) fault: Option<ReadFault>,
}

/// Answers one request. `now` is in microseconds since the epoch.
pub(crate) fn answer(database: &Database, request: &Request, role: Role, reads: Reads, now: i64) -> Outcome {
    let name = request.path().strip_prefix("/rest/v1/").unwrap_or_default();
    if name.is_empty() && request.method == "GET" {
        let response = Response::json(200, openapi::document(role));
        return Outcome::plain(
            response.header("Content-Type", "application/openapi+json; charset=utf-8"),
            None,
        );
    }
    let Some(table) = TableDef::named(name) else {
        return Outcome::plain(RestError::unknown_table(name).into_response(), None);
    };
    let call = Call { database, request, role, reads, now, table, prefer: Prefer::of(request) };
    match call.run() {
        Ok(outcome) => outcome,
        Err(error) => Outcome::plain(error.into_response(), Some(table.table)),
    }
}

/// The privilege that a request needs beyond what everybody signed in has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    SelectOrInsert,
    Update,
    Delete,
}

struct Call<'r> {
    database: &'r Database,
    request: &'r Request,
    role: Role,
    reads: Reads,
    now: i64,
    table: &'static TableDef,
    prefer: Prefer,
}

impl Call<'_> {
    fn run(&self) -> Result<Outcome, RestError> {
        let query = match self.reads.fault {
            Some(fault) if self.request.method == "GET" => {
                Query::parse(self.table, &fault.twist(self.request.query()))?
            }
            _ => Query::parse(self.table, self.request.query())?,
        };
        match self.request.method.as_str() {
            "GET" | "HEAD" => self.get(&query),
            "POST" => self.post(&query),
            "PATCH" => self.patch(&query),
            "DELETE" => self.delete(&query),
            other => Err(RestError::method_not_allowed(other)),
        }
    }

    /// The migrations revoke all privileges from `anon`, and some from `authenticated`.
    fn check_grant(&self, needs: Needs) -> Result<(), RestError> {
        let granted = match (self.role, self.table.grants) {
            (Role::Service, _) | (Role::Authenticated(_), Grants::Everything) => true,
            (Role::Authenticated(_), Grants::NoDelete) => needs != Needs::Delete,
            (Role::Authenticated(_), Grants::AppendOnly) => needs == Needs::SelectOrInsert,
            (Role::Anon, _) => false,
        };
        if granted { Ok(()) } else { Err(RestError::permission_denied(self.table, self.role)) }
    }

    fn get(&self, query: &Query) -> Result<Outcome, RestError> {
        self.check_grant(Needs::SelectOrInsert)?;
        let (rows, total) = self.database.read(|connection| {
            let rows = select::select(connection, self.table, query, self.role, self.reads.max_rows)?;
            let total = if self.prefer.count_exact {
                Some(select::count(connection, self.table, query, self.role)?)
            } else {
                None
            };
            Ok::<_, RestError>((rows, total))
        })?;
        let rows = self.faulty(rows)?;
        let range = content_range(query.offset, rows.count, total);
        let partial = total.is_some_and(|total| (rows.count as u64) < total);
        let rows_read = rows.count as u64;
        let response = self.with_rows(if partial { 206 } else { 200 }, rows)?.header("Content-Range", range);
        Ok(Outcome { rows_read, ..self.outcome(response) })
    }

    fn faulty(&self, mut rows: Rows) -> Result<Rows, RestError> {
        match self.reads.fault {
            Some(ReadFault::TimesOutAbove { rows: most }) if rows.count > most => {
                Err(RestError::new(500, "57014", "canceling statement due to statement timeout"))
            }
            Some(ReadFault::RepeatsRows) if rows.count > 0 => {
                rows.json.pop();
                let first = rows.json[1..].to_vec();
                rows.json.push(b',');
                rows.json.extend_from_slice(&first);
                rows.json.push(b']');
                rows.count *= 2;
                Ok(rows)
            }
            _ => Ok(rows),
        }
    }

    fn post(&self, query: &Query) -> Result<Outcome, RestError> {
        let conflict = self.conflict(query)?;
        let payload = payload::parse(self.table, query.columns.as_deref(), &self.request.body)?;
        self.check_grant(match conflict {
            Conflict::Merge(_) => Needs::Update,
            Conflict::Fail | Conflict::Ignore(_) => Needs::SelectOrInsert,
        })?;
        let insert =
            Insert { table: self.table, payload, conflict, missing: self.prefer.missing, now: self.now };
        let (inserted, updated, written, returned) = self.database.write(|connection| {
            let applied = insert.apply(connection, self.role)?;
            let (inserted, updated) = applied.counts();
            let returned = match self.prefer.returning {
                Return::Representation => {
                    Some(select::by_arrival(connection, self.table, query, &applied.arrivals())?)
                }
                Return::Minimal => None,
            };
            let messages =
                if self.table.table == Table::Messages { MessageWrite::of(&applied) } else { Vec::new() };
            let written = if messages.is_empty() { Vec::new() } else { applied.written_rows() };
            Ok::<_, RestError>(((inserted, updated, written, returned), messages))
        })?;
        let merged_only = matches!(conflict, Conflict::Merge(_)) && inserted == 0;
        let status = if merged_only { 200 } else { 201 };
        let response = match returned {
            Some(rows) => self.with_rows(status, rows)?,
            None => Response::empty(status),
        };
        let response = self.prefer.applied_to(response).header("Content-Range", "*/*");
        Ok(Outcome { rows_inserted: inserted, rows_updated: updated, written, ..self.outcome(response) })
    }

    /// PostgREST reads `on_conflict` only with a resolution. Its default is the primary key.
    fn conflict(&self, query: &Query) -> Result<Conflict, RestError> {
        let unique = || match &query.on_conflict {
            None => self.table.uniques.first().ok_or_else(RestError::no_unique_key),
            Some(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                if let Some(unknown) = names.iter().find(|name| self.table.column(name).is_none()) {
                    return Err(RestError::new(400, "42703", format!("column \"{unknown}\" does not exist")));
                }
                self.table.unique_over(&names).ok_or_else(RestError::no_unique_key)
            }
        };
        Ok(match self.prefer.resolution {
            None => Conflict::Fail,
            Some(Resolution::Merge) => Conflict::Merge(unique()?),
            Some(Resolution::Ignore) => Conflict::Ignore(unique()?),
        })
    }

    fn patch(&self, query: &Query) -> Result<Outcome, RestError> {
        let payload = payload::parse(self.table, query.columns.as_deref(), &self.request.body)?;
        self.check_grant(Needs::Update)?;
        let (arrivals, returned) = self.database.write(|connection| {
            let arrivals = select::arrivals(connection, self.table, query, self.role)?;
            modify::update(connection, self.table, &payload, &arrivals, self.role)?;
            let returned = self.returned(connection, query, &arrivals)?;
            Ok::<_, RestError>(((arrivals, returned), Vec::new()))
        })?;
        let count = arrivals.len();
        let outcome = self.modified(count, returned)?;
        let reported = if self.table.table == Table::Messages { arrivals } else { Vec::new() };
        let written = reported.into_iter().map(|arrival| WrittenRow { arrival, is_new: false }).collect();
        Ok(Outcome { rows_updated: count as u64, written, ..outcome })
    }

    fn delete(&self, query: &Query) -> Result<Outcome, RestError> {
        self.check_grant(Needs::Delete)?;
        let (count, returned) = self.database.write(|connection| {
            let arrivals = select::arrivals(connection, self.table, query, self.role)?;
            let returned = self.returned(connection, query, &arrivals)?;
            modify::delete(connection, self.table, &arrivals)?;
            Ok::<_, RestError>(((arrivals.len(), returned), Vec::new()))
        })?;
        self.database.forget_order();
        self.modified(count, returned)
    }

    fn returned(
        &self,
        connection: &rusqlite::Connection,
        query: &Query,
        arrivals: &[i64],
    ) -> Result<Option<Rows>, RestError> {
        match self.prefer.returning {
            Return::Representation => select::by_arrival(connection, self.table, query, arrivals).map(Some),
            Return::Minimal => Ok(None),
        }
    }

    fn modified(&self, count: usize, returned: Option<Rows>) -> Result<Outcome, RestError> {
        let response = match returned {
            Some(rows) => self.with_rows(200, rows)?,
            None => Response::empty(204),
        };
        let range = content_range(0, count, None);
        Ok(self.outcome(self.prefer.applied_to(response).header("Content-Range", range)))
    }

    fn with_rows(&self, status: u16, rows: Rows) -> Result<Response, RestError> {
        if !self.prefer.single_object {
            return Ok(Response::json(status, rows.json));
        }
        if rows.count != 1 {
            return Err(RestError::not_one_row(rows.count));
        }
        let object = rows.json[1..rows.json.len() - 1].to_vec();
        Ok(Response { status, headers: Vec::new(), body: object }
            .header("Content-Type", "application/vnd.pgrst.object+json; charset=utf-8"))
    }

    const fn outcome(&self, response: Response) -> Outcome {
        Outcome::plain(response, Some(self.table.table))
    }
}

/// `first-last/total`, with `*` for what is unknown or missing.
fn content_range(offset: u64, count: usize, total: Option<u64>) -> String {
    let total = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    match count as u64 {
        0 => format!("*/{total}"),
        count => format!("{offset}-{}/{total}", offset + count - 1),
    }
}

/// Some rows of a table as a JSON array, in this order.
pub(crate) fn rows_of(
    database: &Database,
    table: &'static TableDef,
    arrivals: &[i64],
) -> Result<Vec<u8>, RestError> {
    let read = |connection: &_| select::by_arrival(connection, table, &Query::default(), arrivals);
    Ok(database.read(read)?.json)
}

/// Every row of a table as a JSON array, for tests.
pub(crate) fn all_rows(
    database: &Database,
    table: &'static TableDef,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let rows = database.read(|connection| {
        select::select(connection, table, &Query::default(), Role::Service, i64::MAX.unsigned_abs())
    });
    rows.map(|rows| rows.json).map_err(|error| error.to_string().into())
}
