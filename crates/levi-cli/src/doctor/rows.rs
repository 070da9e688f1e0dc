//! Rows that a table set up for Levi must refuse.

use levi::random_uuid;
use levi::transport::Table;
use serde_json::{Map, Value};

const IDS: [&str; 7] =
    ["id", "user_id", "device_id", "repository_id", "session_id", "sender_device_id", "member_id"];

/// A row with random ids, which belong to no user, and NULL in every other column.
pub(super) fn foreign(table: Table) -> Vec<u8> {
    row(table, |column| IDS.contains(&column).then(|| Value::String(random_uuid())))
}

/// A row with these ids and NULL in every other column, including required ones.
pub(super) fn incomplete(table: Table, ids: &[(&str, &str)]) -> Vec<u8> {
    row(table, |column| {
        let id = ids.iter().find(|(name, _)| *name == column);
        id.map(|(_, id)| Value::String((*id).to_owned()))
    })
}

fn row(table: Table, value: impl Fn(&str) -> Option<Value>) -> Vec<u8> {
    let columns = table.columns().split(',');
    let row: Map<String, Value> =
        columns.map(|column| (column.to_owned(), value(column).unwrap_or_default())).collect();
    Value::Array(vec![Value::Object(row)]).to_string().into_bytes()
}
