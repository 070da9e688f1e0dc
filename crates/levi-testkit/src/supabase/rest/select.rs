//! GET, and `return=representation`.

use rusqlite::{Connection, params_from_iter};

use super::error::RestError;
use super::policy;
use super::query::{Cast, Query, Selected};
use crate::supabase::role::Role;
use crate::supabase::schema::TableDef;
use crate::supabase::value::{Cell, write_json_text};

/// Rows as a JSON array.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) json: Vec<u8>,
    pub(crate) count: usize,
}

/// The rows that match `query` and that `role` may see, at most `max_rows`.
pub(crate) fn select(
    connection: &Connection,
    table: &'static TableDef,
    query: &Query,
    role: Role,
    max_rows: u64,
) -> Result<Rows, RestError> {
    let (condition, values) = restriction(table, query, role);
    let columns = columns(table, &query.select);
    let order = if query.order.is_empty() { "arrival".to_owned() } else { query.order.join(", ") };
    let limit = query.limit.unwrap_or(max_rows).min(max_rows);
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition} ORDER BY {order} LIMIT {limit} OFFSET {}",
        names(table, &columns),
        table.name,
        query.offset
    );
    read(connection, table, &columns, &sql, &values)
}

/// How many rows match the filters and are visible to `role`, ignoring the limit.
pub(crate) fn count(
    connection: &Connection,
    table: &'static TableDef,
    query: &Query,
    role: Role,
) -> Result<u64, RestError> {
    let (condition, values) = restriction(table, query, role);
    let sql = format!("SELECT count(*) FROM {} WHERE {condition}", table.name);
    let count: i64 =
        connection.prepare_cached(&sql)?.query_row(params_from_iter(&values), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The `arrival` of each row that matches the filters and that `role` may see.
pub(crate) fn arrivals(
    connection: &Connection,
    table: &'static TableDef,
    query: &Query,
    role: Role,
) -> Result<Vec<i64>, RestError> {
    let (condition, values) = restriction(table, query, role);
    let sql = format!("SELECT arrival FROM {} WHERE {condition} ORDER BY arrival", table.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params_from_iter(&values), |row| row.get(0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The rows in `arrivals`, for `return=representation`.
pub(crate) fn by_arrival(
    connection: &Connection,
    table: &'static TableDef,
    query: &Query,
    arrivals: &[i64],
) -> Result<Rows, RestError> {
    let columns = columns(table, &query.select);
    let sql = format!("SELECT {} FROM {} WHERE arrival = ?", names(table, &columns), table.name);
    let mut all = Rows { json: vec![b'['], count: 0 };
    for arrival in arrivals {
        let one = read(connection, table, &columns, &sql, &[Cell::Int(*arrival)])?;
        if all.count > 0 {
            all.json.push(b',');
        }
        all.json.extend_from_slice(&one.json[1..one.json.len() - 1]);
        all.count += one.count;
    }
    all.json.push(b']');
    Ok(all)
}

fn restriction(table: &TableDef, query: &Query, role: Role) -> (String, Vec<Cell<'static>>) {
    let (visible, user) = policy::visible(table, role);
    let mut conditions = query.conditions.clone();
    let mut values = query.values.clone();
    conditions.push(visible);
    values.extend(user.map(Cell::Uuid));
    (conditions.join(" AND "), values)
}

fn columns(table: &TableDef, select: &[Selected]) -> Vec<Selected> {
    if !select.is_empty() {
        return select.to_vec();
    }
    let every = table.columns.iter().enumerate();
    every.map(|(column, def)| Selected { column, name: def.name.to_owned(), cast: Cast::None }).collect()
}

fn names(table: &TableDef, columns: &[Selected]) -> String {
    columns.iter().map(|selected| table.columns[selected.column].name).collect::<Vec<_>>().join(", ")
}

fn read(
    connection: &Connection,
    table: &TableDef,
    columns: &[Selected],
    sql: &str,
    values: &[Cell<'_>],
) -> Result<Rows, RestError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(params_from_iter(values))?;
    let mut rows = Rows { json: vec![b'['], count: 0 };
    while let Some(row) = found.next()? {
        if rows.count > 0 {
            rows.json.push(b',');
        }
        rows.count += 1;
        for (index, selected) in columns.iter().enumerate() {
            rows.json.push(if index == 0 { b'{' } else { b',' });
            write_json_text(&selected.name, &mut rows.json);
            rows.json.push(b':');
            let cell = Cell::from_stored(table.columns[selected.column].kind, row.get_ref(index)?);
            match (selected.cast, &cell) {
                (Cast::Text, Cell::Int(n)) => write_json_text(&n.to_string(), &mut rows.json),
                (Cast::Text, Cell::Bool(b)) => write_json_text(&b.to_string(), &mut rows.json),
                _ => cell.write_json(&mut rows.json),
            }
        }
        rows.json.push(b'}');
    }
    rows.json.push(b']');
    Ok(rows)
}
