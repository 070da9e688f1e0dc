//! Row level security on all five tables and in both directions: another user can neither read, update, delete nor
//! overwrite a row, and its owner can.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::environment::{Environment, UserRows, upsert};
use crate::contract::error::ContractError;

pub(super) fn cases() -> Vec<Case> {
    Table::ALL.into_iter().flat_map(of_table).collect()
}

fn of_table(table: Table) -> [Case; 5] {
    let name = |what| format!("{}: {what}", table.name());
    let stranger = |what, call: fn(Table, &UserRows<'_>, &UserRows<'_>) -> Call| {
        Case::new("owner", name(what), move |env| {
            both_ways(env, |me, them| attempt(env, table, them, call(table, me, them), me))
        })
    };
    [
        stranger("another user reads", |table, _, them| Call::new("GET", row_of(table, them))),
        stranger("another user updates", |table, _, them| update(table, them)),
        stranger("another user deletes", |table, _, them| delete(table, them)),
        stranger("another user upserts over it", |table, me, them| {
            let mut row = full_row(table, them);
            if row.get("user_id").is_some() {
                row["user_id"] = json!(me.user.id);
            }
            Call::upsert(upsert(table, &[row]))
        })
        .means(Verdict::Forbidden, &["42501"]),
        Case::new("owner", name("its owner reads, updates and deletes"), move |env| {
            both_ways(env, |me, _| own(env, table, me))
        }),
    ]
}

/// Runs `one` for the first user against the second, then the other way round. Both must have the same result.
fn both_ways(
    env: &Environment<'_>,
    one: impl Fn(&UserRows<'_>, &UserRows<'_>) -> Result<Seen, ContractError>,
) -> Result<Seen, ContractError> {
    for rows in [&env.mine, &env.theirs] {
        let row = upsert(Table::Messages, &[rows.message_row(1, "YQ==")]);
        as_user(env, rows, Call::upsert(row))?;
    }
    let there = one(&env.mine, &env.theirs)?;
    let back = one(&env.theirs, &env.mine)?;
    let expected = (there.status, there.code.clone(), there.effect.clone());
    Ok(there.effect("the other direction", (back.status, back.code, back.effect), expected))
}

/// Sends `call` as `me`. The row of `them` must neither be returned nor change.
fn attempt(
    env: &Environment<'_>,
    table: Table,
    them: &UserRows<'_>,
    call: Call,
    me: &UserRows<'_>,
) -> Result<Seen, ContractError> {
    let look = || -> Result<Vec<Value>, ContractError> {
        Ok(as_user(env, them, Call::new("GET", row_of(table, them)))?.rows())
    };
    let before = look()?;
    let reply = as_user(env, me, call)?;
    Ok(Seen::rest(&reply)
        .effect("rows shown", reply.rows().len(), 0)
        .effect("rows of the owner", before.len(), 1)
        .effect("the owner's row changed", look()? != before, false))
}

fn own(env: &Environment<'_>, table: Table, me: &UserRows<'_>) -> Result<Seen, ContractError> {
    let read = as_user(env, me, Call::new("GET", row_of(table, me)))?;
    let updated = as_user(env, me, update(table, me))?;
    // A device or a repository can be deleted only when no row refers to it.
    let children: &[Table] = match table {
        Table::Devices => &[Table::Sessions, Table::Repositories],
        Table::Repositories => &[Table::Sessions],
        _ => &[],
    };
    for child in children {
        as_user(env, me, delete(*child, me))?;
    }
    let deleted = as_user(env, me, delete(table, me))?;
    let left = as_user(env, me, Call::new("GET", row_of(table, me)))?;
    let (column, word) = change(table);
    Ok(Seen::rest(&deleted)
        .effect("rows read", read.rows().len(), 1)
        .effect("updated to", updated.rows().first().map(|row| row[column].clone()), Some(json!(word)))
        .effect("rows deleted", deleted.rows().len(), 1)
        .effect("rows left", left.rows().len(), 0))
}

fn as_user(env: &Environment<'_>, rows: &UserRows<'_>, call: Call) -> Result<Reply, ContractError> {
    env.send_as_is(call.token(&rows.user.access_token))
}

fn update(table: Table, rows: &UserRows<'_>) -> Call {
    let (column, word) = change(table);
    let mut body = json!({});
    body[column] = json!(word);
    Call::new("PATCH", row_of(table, rows)).body(body.to_string()).prefer("return=representation")
}

fn delete(table: Table, rows: &UserRows<'_>) -> Call {
    Call::new("DELETE", row_of(table, rows)).prefer("return=representation")
}

const fn change(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Devices | Table::Repositories => ("name", "changed"),
        Table::Sessions => ("title", "changed"),
        Table::Messages => ("content_nonce", "Y2hhbmdlZA=="),
        Table::Secrets => ("encrypted_secret", "Y2hhbmdlZA=="),
    }
}

fn row_of(table: Table, rows: &UserRows<'_>) -> String {
    let (column, id) = match table {
        Table::Devices => ("id", &rows.device),
        Table::Repositories => ("id", &rows.repository),
        Table::Sessions => ("id", &rows.session),
        Table::Messages | Table::Secrets => ("session_id", &rows.session),
    };
    format!("/rest/v1/{}?{column}=eq.{id}", table.name())
}

fn full_row(table: Table, rows: &UserRows<'_>) -> Value {
    match table {
        Table::Devices => rows.device_row(&rows.device),
        Table::Repositories => rows.repository_row(&rows.repository, &rows.device),
        Table::Sessions => rows.session_row(&rows.session, &rows.device, &rows.repository),
        Table::Messages => rows.message_row(1, "c3RvbGVu"),
        Table::Secrets => rows.secret_row(&rows.session, &rows.device),
    }
}
