//! POST: one INSERT that writes all rows or none.

use std::borrow::Cow;
use std::collections::HashSet;

use rusqlite::{Connection, params_from_iter};

use super::change_feed::ChangeFeed;
use super::constraint;
use super::error::RestError;
use super::payload::Payload;
use super::policy::Policy;
use crate::supabase::realtime::WrittenRow;
use crate::supabase::role::Role;
use crate::supabase::schema::{Default, TableDef, Unique};
use crate::supabase::value::Cell;

/// What to do with a row whose key exists.
#[derive(Clone, Copy)]
pub(crate) enum Conflict {
    /// 23505
    Fail,
    /// `resolution=merge-duplicates`
    Merge(&'static Unique),
    /// `resolution=ignore-duplicates`
    Ignore(&'static Unique),
}

/// The value of a column that the payload names and a row lacks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Null,
    /// `Prefer: missing=default`
    Default,
}

/// One INSERT statement.
pub(crate) struct Insert<'a> {
    pub(crate) table: &'static TableDef,
    pub(crate) payload: Payload<'a>,
    pub(crate) conflict: Conflict,
    pub(crate) missing: Missing,
    /// Microseconds since the Unix epoch.
    pub(crate) now: i64,
}

/// What happened to one row. The number is its `arrival`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Inserted(i64),
    Updated(i64),
    Ignored,
}

/// The rows in the order of the payload, and what happened to each.
pub(crate) struct Applied<'a> {
    pub(crate) rows: Vec<Vec<Cell<'a>>>,
    pub(crate) written: Vec<Written>,
}

impl<'a> Insert<'a> {
    /// Runs in a transaction that the caller commits, or rolls back on an error.
    pub(crate) fn apply(self, connection: &Connection, role: Role) -> Result<Applied<'a>, RestError> {
        let Self { table, payload, conflict, missing, now } = self;
        let Payload { columns, rows } = payload;
        let mut rows: Vec<_> =
            rows.into_iter().map(|row| full_row(table, &columns, row, missing, now)).collect();
        let mut policy = Policy::new(connection, role);
        let mut writer = Writer::new(connection, table, columns, conflict)?;
        let mut written = Vec::with_capacity(rows.len());
        for row in &mut rows {
            if let Some(feed) = &mut writer.feed {
                feed.before_insert(row, &mut policy)?;
            }
            policy.check_new(table, row)?;
            constraint::check_row(table, row)?;
            written.push(writer.write(row, &mut policy)?);
        }
        if let Some(feed) = writer.feed {
            feed.finish()?;
        }
        let kept = rows
            .iter()
            .zip(&written)
            .filter(|(_, written)| **written != Written::Ignored)
            .map(|(row, _)| row);
        constraint::check_parents(connection, table, kept)?;
        Ok(Applied { rows, written })
    }
}

/// Completes the row with every column of the table.
fn full_row<'a>(
    table: &TableDef,
    columns: &[usize],
    row: Vec<Option<Cell<'a>>>,
    missing: Missing,
    now: i64,
) -> Vec<Cell<'a>> {
    let mut full: Vec<Cell<'a>> = table.columns.iter().map(|c| default_of(c.default, now)).collect();
    for (index, cell) in columns.iter().zip(row) {
        match cell {
            Some(cell) => full[*index] = cell,
            None if missing == Missing::Null => full[*index] = Cell::Null,
            None => {}
        }
    }
    full
}

const fn default_of(default: Default, now: i64) -> Cell<'static> {
    match default {
        Default::Null => Cell::Null,
        Default::Now => Cell::Time(now),
        Default::True => Cell::Bool(true),
        Default::False => Cell::Bool(false),
        Default::Text(text) => Cell::Text(Cow::Borrowed(text)),
    }
}

struct Writer<'c> {
    connection: &'c Connection,
    table: &'static TableDef,
    conflict: Conflict,
    insert_sql: String,
    update_sql: String,
    /// The columns of the payload, which a merge overwrites.
    columns: Vec<usize>,
    touched: HashSet<i64>,
    feed: Option<ChangeFeed<'c>>,
}

impl<'c> Writer<'c> {
    fn new(
        connection: &'c Connection,
        table: &'static TableDef,
        columns: Vec<usize>,
        conflict: Conflict,
    ) -> Result<Self, RestError> {
        let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
        let marks = vec!["?"; names.len()].join(", ");
        let on_conflict = match conflict {
            Conflict::Fail => String::new(),
            Conflict::Merge(unique) | Conflict::Ignore(unique) => {
                format!(" ON CONFLICT ({}) DO NOTHING", unique.columns.join(", "))
            }
        };
        let insert_sql =
            format!("INSERT INTO {} ({}) VALUES ({marks}){on_conflict}", table.name, names.join(", "));
        let sets: Vec<_> = names.iter().map(|name| format!("{name} = ?")).collect();
        let update_sql = format!("UPDATE {} SET {} WHERE arrival = ?", table.name, sets.join(", "));
        let feed = ChangeFeed::of(connection, table)?;
        Ok(Self {
            connection,
            table,
            conflict,
            insert_sql,
            update_sql,
            columns,
            touched: HashSet::new(),
            feed,
        })
    }

    fn write(&mut self, row: &[Cell<'_>], policy: &mut Policy<'_>) -> Result<Written, RestError> {
        let changed = self.connection.prepare_cached(&self.insert_sql)?.execute(params_from_iter(row));
        match changed {
            Ok(1) => {
                let arrival = self.connection.last_insert_rowid();
                self.touched.insert(arrival);
                Ok(Written::Inserted(arrival))
            }
            Ok(_) => match self.conflict {
                Conflict::Merge(unique) => self.merge(unique, row, policy),
                Conflict::Fail | Conflict::Ignore(_) => Ok(Written::Ignored),
            },
            Err(error) => Err(self.refusal(error, row, None)?),
        }
    }

    fn merge(
        &mut self,
        unique: &Unique,
        row: &[Cell<'_>],
        policy: &mut Policy<'_>,
    ) -> Result<Written, RestError> {
        let arrival = constraint::holder(self.connection, self.table, unique, row)?
            .ok_or_else(|| RestError::new(500, "XX000", "the conflicting row has disappeared"))?;
        if !self.touched.insert(arrival) {
            return Err(RestError::twice_in_one_command());
        }
        let existing = read_row(self.connection, self.table, arrival)?;
        policy.check_existing(self.table, &existing)?;
        if self.columns.is_empty() {
            return Ok(Written::Updated(arrival));
        }
        let mut merged: Vec<Cell<'_>> = existing.clone();
        for index in &self.columns {
            merged[*index] = row[*index].clone();
        }
        if let Some(feed) = &mut self.feed {
            feed.before_update(self.table, &existing, &mut merged, policy)?;
        }
        let arrival_cell = Cell::Int(arrival);
        let values = merged.iter().chain([&arrival_cell]);
        match self.connection.prepare_cached(&self.update_sql)?.execute(params_from_iter(values)) {
            Ok(_) => Ok(Written::Updated(arrival)),
            Err(error) => Err(self.refusal(error, &merged, Some(arrival))?),
        }
    }

    /// The error of PostgreSQL for SQLite's "constraint failed".
    fn refusal(
        &self,
        error: rusqlite::Error,
        row: &[Cell<'_>],
        itself: Option<i64>,
    ) -> Result<RestError, RestError> {
        let violated = constraint::unique_violation(self.connection, self.table, row, itself)?;
        Ok(violated.unwrap_or_else(|| error.into()))
    }
}

/// Reads one row.
pub(crate) fn read_row(
    connection: &Connection,
    table: &TableDef,
    arrival: i64,
) -> Result<Vec<Cell<'static>>, RestError> {
    let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
    let sql = format!("SELECT {} FROM {} WHERE arrival = ?", names.join(", "), table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let row = statement.query_row([arrival], |row| {
        let cells = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| Ok(Cell::from_stored(column.kind, row.get_ref(index)?).into_owned()));
        cells.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    Ok(row)
}

impl Applied<'_> {
    /// The numbers of inserted and of updated rows.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |wanted: fn(&Written) -> bool| self.written.iter().filter(|w| wanted(w)).count() as u64;
        (count(|w| matches!(w, Written::Inserted(_))), count(|w| matches!(w, Written::Updated(_))))
    }

    /// Each row that was written, for Realtime.
    pub(crate) fn written_rows(&self) -> Vec<WrittenRow> {
        let row = |written: &Written| match written {
            Written::Inserted(arrival) => Some(WrittenRow { arrival: *arrival, is_new: true }),
            Written::Updated(arrival) => Some(WrittenRow { arrival: *arrival, is_new: false }),
            Written::Ignored => None,
        };
        self.written.iter().filter_map(row).collect()
    }

    /// The `arrival` of each row that was written.
    pub(crate) fn arrivals(&self) -> Vec<i64> {
        let arrival = |written: &Written| match written {
            Written::Inserted(at) | Written::Updated(at) => Some(*at),
            Written::Ignored => None,
        };
        self.written.iter().filter_map(arrival).collect()
    }
}
