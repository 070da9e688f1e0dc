//! `GET /rest/v1/`: the tables described in OpenAPI, as far as a client can learn types and keys
//! from it.

use serde_json::{Map, Value, json};

use crate::supabase::role::Role;
use crate::supabase::schema::{ALL, Column, Default, Nullable, TableDef};
use crate::supabase::value::Kind;

/// Only what the role may touch is described.
pub(super) fn document(role: Role) -> Vec<u8> {
    let visible = |_: &&&TableDef| !matches!(role, Role::Anon);
    let tables = || ALL.iter().filter(visible);
    let definitions: Map<String, Value> =
        tables().map(|table| (table.name.to_owned(), definition(table))).collect();
    let paths: Map<String, Value> = tables().map(|table| (format!("/{}", table.name), json!({}))).collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "standard public schema", "version": "14.1" },
        "paths": paths,
        "definitions": definitions,
    })
    .to_string()
    .into_bytes()
}

fn definition(table: &TableDef) -> Value {
    let required = table.columns.iter().filter(|column| column.nullable == Nullable::No);
    let required: Vec<&str> = required.map(|column| column.name).collect();
    let properties: Map<String, Value> =
        table.columns.iter().map(|column| (column.name.to_owned(), property(table, column))).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn property(table: &TableDef, column: &Column) -> Value {
    let kind = match column.kind {
        Kind::BigInt | Kind::Integer => "integer",
        Kind::Bool => "boolean",
        Kind::Uuid | Kind::Text | Kind::Timestamp => "string",
    };
    let mut property = json!({ "type": kind, "format": column.kind.name() });
    let default = match column.default {
        Default::Null => None,
        Default::Now => Some(json!("now()")),
        Default::True => Some(json!(true)),
        Default::False => Some(json!(false)),
        Default::Text(text) => Some(json!(text)),
    };
    if let Some(default) = default {
        property["default"] = default;
    }
    let notes = notes(table, column.name);
    if !notes.is_empty() {
        property["description"] = json!(format!("Note:\n{}", notes.join("\n")));
    }
    property
}

/// Foreign keys of several columns are not among PostgREST's notes.
fn notes(table: &TableDef, column: &str) -> Vec<String> {
    let is_key = table.uniques.first().is_some_and(|key| key.columns.contains(&column));
    let primary = is_key.then(|| "This is a Primary Key.<pk/>".to_owned());
    let exposed = |parent: &str| TableDef::named(parent).is_some();
    let foreign = table.foreign.iter().find(|key| key.columns == [column] && exposed(key.parent));
    let foreign = foreign.map(|key| {
        let (parent, column) = (key.parent, key.parent_columns[0]);
        format!("This is a Foreign Key to `{parent}.{column}`.<fk table='{parent}' column='{column}'/>")
    });
    primary.into_iter().chain(foreign).collect()
}
