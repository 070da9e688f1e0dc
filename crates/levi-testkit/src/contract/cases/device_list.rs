//! The signed device list is append-only: the first row on a slot stays, whatever later requests say.
//!
//! That other users see none of it, and that its owner can neither update nor delete it, is among
//! the cases of `owner`.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use super::owner::entry_of;
use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, LAST_SLOT, LIST_ENTRY, upsert};
use crate::contract::error::ContractError;

const LIST: &str = Table::DeviceList.name();

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Environment<'_>) -> Result<Seen, ContractError>| {
        Case::new("device list", name, run)
    };
    vec![
        case("an entry on a free slot", |env| {
            let slot = free_slot(env)?;
            let seen = Seen::rest(&env.send(Call::insert(entry(env, slot, LIST_ENTRY)))?);
            let found = env.send(Call::new("GET", entry_of(&env.mine, slot)))?.rows();
            Ok(seen.effect("entries", found.len(), 1))
        }),
        case("an entry on a taken slot", |env| taken(env, Call::insert(entry(env, LAST_SLOT, "b3RoZXI="))))
            .means(Verdict::Rejected, &["23505"]),
        case("an entry on a taken slot, beside one on a free slot", |env| {
            let free = free_slot(env)?;
            let rows = [env.mine.list_row(free), env.mine.list_row(LAST_SLOT)];
            let seen = taken(env, Call::insert(upsert(Table::DeviceList, &rows)))?;
            let found = env.send(Call::new("GET", entry_of(&env.mine, free)))?.rows();
            Ok(seen.effect("entries on the free slot", found.len(), 0))
        })
        .means(Verdict::Rejected, &["23505"]),
        case("an entry on a taken slot, to be merged", |env| {
            taken(env, Call::upsert(entry(env, LAST_SLOT, "b3RoZXI=")))
        })
        .means(Verdict::Forbidden, &["42501"]),
        case("an entry on a taken slot, to be ignored", |env| {
            let body = entry(env, LAST_SLOT, "b3RoZXI=").body;
            let query = format!("on_conflict={}", Table::DeviceList.conflict_columns());
            let call = Call::post(format!("/rest/v1/{LIST}?{query}"), body);
            taken(env, call.prefer("resolution=ignore-duplicates,return=minimal"))
        }),
        case("an entry in another user's list", |env| {
            let mut row = env.mine.list_row(0);
            row["user_id"] = json!(env.theirs.user.id);
            Ok(Seen::rest(&env.send(Call::insert(upsert(Table::DeviceList, &[row])))?))
        })
        .means(Verdict::Forbidden, &["42501"]),
    ]
}

/// Sends `call`, which is about the last slot. What the slot held before must stay.
fn taken(env: &Environment<'_>, call: Call) -> Result<Seen, ContractError> {
    env.send(Call::insert(entry(env, LAST_SLOT, LIST_ENTRY)))?;
    let look = || -> Result<Vec<Value>, ContractError> {
        Ok(env.send(Call::new("GET", entry_of(&env.mine, LAST_SLOT)))?.rows())
    };
    let before = look()?;
    let seen = Seen::rest(&env.send(call)?);
    Ok(seen.effect("entries before", before.len(), 1).effect("the slot changed", look()? != before, false))
}

fn entry(env: &Environment<'_>, slot: i64, text: &str) -> levi_transport::Upsert {
    let mut row = env.mine.list_row(slot);
    row["entry"] = json!(text);
    upsert(Table::DeviceList, &[row])
}

/// The slot before the first one that a run has taken, so that a list of the user's own is not in
/// the way.
fn free_slot(env: &Environment<'_>) -> Result<i64, ContractError> {
    let path = format!("/rest/v1/{LIST}?select=slot&entry=eq.{LIST_ENTRY}&order=slot&limit=1");
    let first = env.send(Call::new("GET", path))?.rows().first().and_then(|row| row["slot"].as_i64());
    Ok(first.unwrap_or(LAST_SLOT + 1) - 1)
}
