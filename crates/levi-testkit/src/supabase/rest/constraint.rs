//! Constraints, in PostgreSQL's order and with its names.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::error::RestError;
use crate::supabase::schema::{ALL, Check, Foreign, Nullable, OnDelete, TableDef, Unique};
use crate::supabase::value::Cell;

/// Not-null and check constraints of one row.
pub(crate) fn check_row(table: &TableDef, row: &[Cell<'_>]) -> Result<(), RestError> {
    for (column, cell) in table.columns.iter().zip(row) {
        if column.nullable == Nullable::No && *cell == Cell::Null {
            return Err(RestError::null_value(table, column, row));
        }
    }
    for (column, cell) in table.columns.iter().zip(row) {
        let Some(check) = &column.check else { continue };
        let holds = match (check, cell) {
            (Check::OneOf(_, words), Cell::Text(text)) => words.contains(&&**text),
            (Check::Between(_, low, high), Cell::Int(n)) => (low..=high).contains(&n),
            (Check::MaxBytes(_, bytes), Cell::Text(text)) => text.len() <= *bytes,
            // A check whose result is null holds.
            _ => true,
        };
        if !holds {
            return Err(RestError::check_violated(table, check, row));
        }
    }
    Ok(())
}

/// The existing row with the same values as `row` in the columns of `unique`.
pub(crate) fn holder(
    connection: &Connection,
    table: &TableDef,
    unique: &Unique,
    row: &[Cell<'_>],
) -> Result<Option<i64>, RestError> {
    let conditions = unique.columns.iter().map(|c| format!("{c} = ?")).collect::<Vec<_>>().join(" AND ");
    let sql = format!("SELECT arrival FROM {} WHERE {conditions}", table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let values = values_of(table, unique.columns, row);
    Ok(statement.query_row(params_from_iter(values), |found| found.get(0)).optional()?)
}

/// The error for the unique constraint that `row` would violate. `itself` is the row that it
/// replaces.
pub(crate) fn unique_violation(
    connection: &Connection,
    table: &TableDef,
    row: &[Cell<'_>],
    itself: Option<i64>,
) -> Result<Option<RestError>, RestError> {
    for unique in table.uniques {
        let found = holder(connection, table, unique, row)?;
        if found.is_some() && found != itself {
            let values = values_of(table, unique.columns, row);
            return Ok(Some(RestError::not_unique(unique, &values)));
        }
    }
    Ok(None)
}

/// Checks the foreign keys of written rows. PostgreSQL checks them at the end of a statement, so
/// this comes last.
pub(crate) fn check_parents<'r, 'a: 'r>(
    connection: &Connection,
    table: &TableDef,
    rows: impl IntoIterator<Item = &'r Vec<Cell<'a>>> + Clone,
) -> Result<(), RestError> {
    for key in table.foreign {
        let mut last: Option<Vec<&Cell<'_>>> = None;
        let mut seen: HashSet<Vec<[u8; 16]>> = HashSet::new();
        for row in rows.clone() {
            let values = values_of(table, key.columns, row);
            // Most batches have one parent.
            if values.contains(&&Cell::Null) || last.as_ref() == Some(&values) {
                continue;
            }
            let ids = values.iter().filter_map(|cell| cell.uuid()).map(|uuid| uuid.0).collect();
            if seen.insert(ids) && !parent_exists(connection, key, &values)? {
                return Err(RestError::missing_parent(table, key, &values));
            }
            last = Some(values);
        }
    }
    Ok(())
}

fn parent_exists(connection: &Connection, key: &Foreign, values: &[&Cell<'_>]) -> Result<bool, RestError> {
    let conditions = key.parent_columns.iter().map(|c| format!("{c} = ?")).collect::<Vec<_>>().join(" AND ");
    let mut statement =
        connection.prepare_cached(&format!("SELECT 1 FROM {} WHERE {conditions}", key.parent))?;
    Ok(statement.exists(params_from_iter(values))?)
}

/// The error if a child refers to `row`, which is about to be deleted or to get another key.
pub(crate) fn still_referenced(
    connection: &Connection,
    table: &TableDef,
    row: &[Cell<'_>],
) -> Result<Option<RestError>, RestError> {
    for child in ALL {
        for key in child.foreign {
            if key.parent != table.name || key.on_delete == OnDelete::Cascade {
                continue;
            }
            let values = values_of(table, key.parent_columns, row);
            let conditions = key.columns.iter().map(|c| format!("{c} = ?")).collect::<Vec<_>>().join(" AND ");
            let sql = format!("SELECT 1 FROM {} WHERE {conditions}", child.name);
            if connection.prepare_cached(&sql)?.exists(params_from_iter(&values))? {
                return Ok(Some(RestError::still_referenced(table, child, key, &values)));
            }
        }
    }
    Ok(None)
}

fn values_of<'r, 'a>(table: &TableDef, columns: &[&str], row: &'r [Cell<'a>]) -> Vec<&'r Cell<'a>> {
    columns.iter().filter_map(|name| row.get(table.column(name)?)).collect()
}
