//! PATCH and DELETE. Rows that the user may not see are left alone without an error.

use rusqlite::{Connection, params_from_iter};

use super::change_feed::ChangeFeed;
use super::constraint;
use super::error::RestError;
use super::insert::read_row;
use super::payload::Payload;
use super::policy::Policy;
use crate::supabase::role::Role;
use crate::supabase::schema::TableDef;
use crate::supabase::value::Cell;

/// Writes the values of the payload's first row into each row in `arrivals`.
pub(crate) fn update(
    connection: &Connection,
    table: &'static TableDef,
    payload: &Payload<'_>,
    arrivals: &[i64],
    role: Role,
) -> Result<(), RestError> {
    let Some(changes) = payload.rows.first() else { return Ok(()) };
    if payload.columns.is_empty() {
        return Ok(());
    }
    let sets: Vec<_> = table.columns.iter().map(|column| format!("{} = ?", column.name)).collect();
    let sql = format!("UPDATE {} SET {} WHERE arrival = ?", table.name, sets.join(", "));
    let mut policy = Policy::new(connection, role);
    let mut feed = ChangeFeed::of(connection, table)?;
    let mut changed = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        let old = read_row(connection, table, *arrival)?;
        let mut row = old.clone();
        for (index, cell) in payload.columns.iter().zip(changes) {
            row[*index] = cell.clone().unwrap_or(Cell::Null).into_owned();
        }
        if let Some(feed) = &mut feed {
            feed.before_update(table, &old, &mut row, &mut policy)?;
        }
        policy.check_new(table, &row)?;
        constraint::check_row(table, &row)?;
        let arrival_cell = Cell::Int(*arrival);
        let values = row.iter().chain([&arrival_cell]);
        if let Err(error) = connection.prepare_cached(&sql)?.execute(params_from_iter(values)) {
            let violated = constraint::unique_violation(connection, table, &row, Some(*arrival))?;
            return Err(violated.unwrap_or_else(|| error.into()));
        }
        if key_changed(table, &old, &row)
            && let Some(error) = constraint::still_referenced(connection, table, &old)?
        {
            return Err(error);
        }
        changed.push(row);
    }
    if let Some(feed) = feed {
        feed.finish()?;
    }
    constraint::check_parents(connection, table, &changed)
}

fn key_changed(table: &TableDef, old: &[Cell<'_>], new: &[Cell<'_>]) -> bool {
    let differs = |name: &str| table.column(name).is_some_and(|index| old[index] != new[index]);
    differs("id") || differs("user_id")
}

/// Deletes the rows in `arrivals`, and their children if the foreign key cascades.
pub(crate) fn delete(
    connection: &Connection,
    table: &'static TableDef,
    arrivals: &[i64],
) -> Result<(), RestError> {
    let sql = format!("DELETE FROM {} WHERE arrival = ?", table.name);
    let mut gone = Vec::with_capacity(arrivals.len());
    for arrival in arrivals {
        gone.push(read_row(connection, table, *arrival)?);
        connection.prepare_cached(&sql)?.execute([arrival])?;
    }
    for row in &gone {
        if let Some(error) = constraint::still_referenced(connection, table, row)? {
            return Err(error);
        }
    }
    Ok(())
}
