//! Row level security on all tables and in both directions: another user can neither read, update,
//! delete nor overwrite a row. Its owner can, except that no entry of the device list is updated or
//! deleted, and no keyring deleted.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::environment::{Environment, LAST_SLOT, UserRows, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;

const GRANTS_ON_LITE: &str =
    "it answers a change that is not granted with no rows instead of an error; nothing changes";

pub(super) fn cases() -> Vec<Case> {
    Table::ALL.into_iter().flat_map(of_table).collect()
}

/// What the migrations grant for a table beyond reading and inserting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grants {
    UpdateAndDelete,
    Update,
    Nothing,
}

impl Grants {
    const fn of(table: Table) -> Self {
        match table {
            Table::DeviceList => Self::Nothing,
            Table::Keyrings => Self::Update,
            _ => Self::UpdateAndDelete,
        }
    }

    /// `case`, which updates rows of the table.
    fn needed_to_update(self, case: Case) -> Case {
        if self == Self::Nothing { not_granted(case) } else { case }
    }

    /// `case`, which deletes rows of the table.
    fn needed_to_delete(self, case: Case) -> Case {
        if self == Self::UpdateAndDelete { case } else { not_granted(case) }
    }

    /// What the owner does. The last request of it is a delete.
    const fn by_owner(self) -> &'static str {
        match self {
            Self::UpdateAndDelete => "its owner reads, updates and deletes",
            Self::Update => "its owner reads and updates, and cannot delete",
            Self::Nothing => "its owner reads, and can neither update nor delete",
        }
    }
}

fn not_granted(case: Case) -> Case {
    let on_lite = (Meaning::Accepted, "200");
    case.means(Verdict::Forbidden, &["42501"]).differs(Server::Lite, on_lite, None, GRANTS_ON_LITE)
}

fn of_table(table: Table) -> [Case; 5] {
    let name = |what| format!("{}: {what}", table.name());
    let stranger = |what, call: fn(Table, &UserRows<'_>, &UserRows<'_>) -> Call| {
        Case::new("owner", name(what), move |env| {
            both_ways(env, |me, them| attempt(env, table, them, call(table, me, them), me))
        })
    };
    let grants = Grants::of(table);
    [
        stranger("another user reads", |table, _, them| Call::new("GET", row_of(table, them))),
        grants.needed_to_update(stranger("another user updates", |table, _, them| update(table, them))),
        grants.needed_to_delete(stranger("another user deletes", |table, _, them| delete(table, them))),
        stranger("another user upserts over it", |table, me, them| {
            let mut row = full_row(table, them);
            // Where the user is a part of the key, the row would be another one with the own user.
            let names_user = row.get("user_id").is_some() && !Table::TRUST.contains(&table);
            if names_user {
                row["user_id"] = json!(me.user.id);
            }
            Call::upsert(upsert(table, &[row]))
        })
        .means(Verdict::Forbidden, &["42501"]),
        grants.needed_to_delete(Case::new("owner", name(grants.by_owner()), move |env| {
            both_ways(env, |me, _| own(env, table, me))
        })),
    ]
}

/// Runs `one` for the first user against the second, then the other way round. Both must have the
/// same result.
fn both_ways(
    env: &Environment<'_>,
    one: impl Fn(&UserRows<'_>, &UserRows<'_>) -> Result<Seen, ContractError>,
) -> Result<Seen, ContractError> {
    for rows in [&env.mine, &env.theirs] {
        let row = upsert(Table::Messages, &[rows.message_row(1, "YQ==")]);
        as_user(env, rows, Call::upsert(row))?;
        // Not `upsert`, which the device list refuses. What is there already stays.
        for table in Table::TRUST {
            as_user(env, rows, Call::insert(upsert(table, &[full_row(table, rows)])))?;
        }
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
    let left = as_user(env, me, Call::new("GET", row_of(table, me)))?.rows();
    let (column, word) = change(table);
    let grants = Grants::of(table);
    let word = if grants == Grants::Nothing { full_row(table, me)[column].clone() } else { json!(word) };
    let now = if grants == Grants::UpdateAndDelete { updated.rows() } else { left.clone() };
    Ok(Seen::rest(&deleted)
        .effect("rows read", read.rows().len(), 1)
        .effect("updated to", now.first().map(|row| row[column].clone()), Some(word))
        .effect("rows left", left.len(), usize::from(grants != Grants::UpdateAndDelete)))
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
        Table::DeviceList => ("signature", "Y2hhbmdlZA=="),
        Table::Keyrings => ("sealed", "Y2hhbmdlZA=="),
        Table::Pairings => ("answer", "Y2hhbmdlZA=="),
    }
}

fn row_of(table: Table, rows: &UserRows<'_>) -> String {
    let (column, id) = match table {
        Table::Devices => ("id", &rows.device),
        Table::Repositories => ("id", &rows.repository),
        Table::Sessions => ("id", &rows.session),
        Table::Messages | Table::Secrets => ("session_id", &rows.session),
        Table::DeviceList => return entry_of(rows, LAST_SLOT),
        Table::Keyrings => ("user_id", &rows.user.id),
        Table::Pairings => ("id", &rows.session),
    };
    format!("/rest/v1/{}?{column}=eq.{id}", table.name())
}

/// The path of one entry of the user's device list.
pub(super) fn entry_of(rows: &UserRows<'_>, slot: i64) -> String {
    format!("/rest/v1/{}?user_id=eq.{}&slot=eq.{slot}", Table::DeviceList.name(), rows.user.id)
}

fn full_row(table: Table, rows: &UserRows<'_>) -> Value {
    match table {
        Table::Devices => rows.device_row(&rows.device),
        Table::Repositories => rows.repository_row(&rows.repository, &rows.device),
        Table::Sessions => rows.session_row(&rows.session, &rows.device, &rows.repository),
        Table::Messages => rows.message_row(1, "c3RvbGVu"),
        Table::Secrets => rows.secret_row(&rows.session, &rows.device),
        Table::DeviceList => rows.list_row(LAST_SLOT),
        Table::Keyrings => rows.keyring_row(),
        Table::Pairings => rows.pairing_row(),
    }
}
