//! Whose rows are whose, on all five tables and in both directions: another user can neither read, update, delete nor
//! overwrite a row, and its owner can do all of it.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::stage::{Scene, Stage, upsert};
use crate::contract::trouble::Trouble;

pub(super) fn cases() -> Vec<Case> {
    Table::ALL.into_iter().flat_map(of_table).collect()
}

fn of_table(table: Table) -> [Case; 5] {
    let name = |what| format!("{}: {what}", table.name());
    let stranger = |what, call: fn(Table, &Scene<'_>, &Scene<'_>) -> Call| {
        Case::new("owner", name(what), move |stage| {
            both_ways(stage, |me, them| attempt(stage, table, them, call(table, me, them), me))
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
        Case::new("owner", name("its owner reads, updates and deletes"), move |stage| {
            both_ways(stage, |me, _| own(stage, table, me))
        }),
    ]
}

/// Plays `one` for the first user against the second, then the other way round, which must come out the same.
fn both_ways(
    stage: &Stage<'_>,
    one: impl Fn(&Scene<'_>, &Scene<'_>) -> Result<Seen, Trouble>,
) -> Result<Seen, Trouble> {
    for scene in [&stage.mine, &stage.theirs] {
        let row = upsert(Table::Messages, &[scene.message_row(1, "YQ==")]);
        as_user(stage, scene, Call::upsert(row))?;
    }
    let there = one(&stage.mine, &stage.theirs)?;
    let back = one(&stage.theirs, &stage.mine)?;
    let expected = (there.status, there.code.clone(), there.effect.clone());
    Ok(there.effect("the other direction", (back.status, back.code, back.effect), expected))
}

/// `me` tries; the row of `them` must neither be shown nor have changed.
fn attempt(
    stage: &Stage<'_>,
    table: Table,
    them: &Scene<'_>,
    call: Call,
    me: &Scene<'_>,
) -> Result<Seen, Trouble> {
    let look = || -> Result<Vec<Value>, Trouble> {
        Ok(as_user(stage, them, Call::new("GET", row_of(table, them)))?.rows())
    };
    let before = look()?;
    let reply = as_user(stage, me, call)?;
    Ok(Seen::rest(&reply)
        .effect("rows shown", reply.rows().len(), 0)
        .effect("rows of the owner", before.len(), 1)
        .effect("the owner's row changed", look()? != before, false))
}

fn own(stage: &Stage<'_>, table: Table, me: &Scene<'_>) -> Result<Seen, Trouble> {
    let read = as_user(stage, me, Call::new("GET", row_of(table, me)))?;
    let updated = as_user(stage, me, update(table, me))?;
    // A device or a repository goes only when nothing names it any more.
    let children: &[Table] = match table {
        Table::Devices => &[Table::Sessions, Table::Repositories],
        Table::Repositories => &[Table::Sessions],
        _ => &[],
    };
    for child in children {
        as_user(stage, me, delete(*child, me))?;
    }
    let deleted = as_user(stage, me, delete(table, me))?;
    let left = as_user(stage, me, Call::new("GET", row_of(table, me)))?;
    let (column, word) = change(table);
    Ok(Seen::rest(&deleted)
        .effect("rows read", read.rows().len(), 1)
        .effect("updated to", updated.rows().first().map(|row| row[column].clone()), Some(json!(word)))
        .effect("rows deleted", deleted.rows().len(), 1)
        .effect("rows left", left.rows().len(), 0))
}

fn as_user(stage: &Stage<'_>, scene: &Scene<'_>, call: Call) -> Result<Reply, Trouble> {
    stage.send_as_is(call.token(&scene.user.access_token))
}

fn update(table: Table, scene: &Scene<'_>) -> Call {
    let (column, word) = change(table);
    let mut body = json!({});
    body[column] = json!(word);
    Call::new("PATCH", row_of(table, scene)).body(body.to_string()).prefer("return=representation")
}

fn delete(table: Table, scene: &Scene<'_>) -> Call {
    Call::new("DELETE", row_of(table, scene)).prefer("return=representation")
}

const fn change(table: Table) -> (&'static str, &'static str) {
    match table {
        Table::Devices | Table::Repositories => ("name", "changed"),
        Table::Sessions => ("title", "changed"),
        Table::Messages => ("content_nonce", "Y2hhbmdlZA=="),
        Table::Secrets => ("encrypted_secret", "Y2hhbmdlZA=="),
    }
}

fn row_of(table: Table, scene: &Scene<'_>) -> String {
    let (column, id) = match table {
        Table::Devices => ("id", &scene.device),
        Table::Repositories => ("id", &scene.repository),
        Table::Sessions => ("id", &scene.session),
        Table::Messages | Table::Secrets => ("session_id", &scene.session),
    };
    format!("/rest/v1/{}?{column}=eq.{id}", table.name())
}

fn full_row(table: Table, scene: &Scene<'_>) -> Value {
    match table {
        Table::Devices => scene.device_row(&scene.device),
        Table::Repositories => scene.repository_row(&scene.repository, &scene.device),
        Table::Sessions => scene.session_row(&scene.session, &scene.device, &scene.repository),
        Table::Messages => scene.message_row(1, "c3RvbGVu"),
        Table::Secrets => scene.secret_row(&scene.session, &scene.device),
    }
}
