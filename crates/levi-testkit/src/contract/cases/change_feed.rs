//! The change feed: one request says what changed since, over all sessions of a user.
//!
//! A later change has a higher number, whatever commits first, so a reader that asks for what lies
//! after the highest number it has seen skips nothing.

use std::collections::BTreeSet;

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, UserRows, upsert};
use crate::contract::error::ContractError;
use crate::contract::token::uuid;

/// Rows in a batch, and batches, of each concurrent writer. A small batch begins after a large one
/// and would commit before it, with higher ids, if nothing kept them in order.
const WRITERS: [(i64, i64); 4] = [(400, 4), (1, 80), (400, 4), (1, 80)];

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, run: fn(&Environment<'_>) -> Result<Seen, ContractError>| {
        Case::new("change feed", name, run)
    };
    vec![
        case("what changed since, in order, over all sessions", |env| {
            let rows = &env.mine;
            let second = second_session(env)?;
            let start = last(env, rows)?;
            for (session, number) in [(&second, 7), (&rows.session, 1), (&second, 8)] {
                put(env, &[message(session, number, "YQ==")])?;
            }
            let (seen, found) = since(env, rows, start)?;
            let expected = [(second.clone(), 7), (rows.session.clone(), 1), (second, 8)];
            Ok(seen.effect("the changes", places(&found) == expected, true).effect(
                "ids that do not rise",
                falling(&found),
                0,
            ))
        }),
        case("concurrent writers: ids rise, and none is skipped", concurrent_writers),
        case("a batch that is sent again moves nothing", |env| {
            let batch: Vec<Value> = (1..=3).map(|n| env.mine.message_row(n, "YQ==")).collect();
            put(env, &batch)?;
            let start = last(env, &env.mine)?;
            put(env, &batch)?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("changes", found.len(), 0))
        }),
        case("a batch that is sent again beside a new row moves the new row alone", |env| {
            put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            let start = last(env, &env.mine)?;
            put(env, &[1, 2, 3].map(|n| env.mine.message_row(n, if n == 2 { "Yg==" } else { "YQ==" })))?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&found) == [(env.mine.session.clone(), 3)], true))
        }),
        case("a batch that is sent again and ignored moves nothing", |env| {
            let ignored = |rows: &[Value]| {
                let upsert = upsert(Table::Messages, rows);
                let query =
                    format!("on_conflict={}&columns={}", upsert.table.conflict_columns(), upsert.columns);
                let call = Call::post(format!("/rest/v1/{}?{query}", upsert.table.name()), upsert.body);
                env.send(call.prefer("resolution=ignore-duplicates,return=minimal"))
            };
            let batch = [env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")];
            ignored(&batch)?;
            let start = last(env, &env.mine)?;
            ignored(&batch)?;
            ignored(&[env.mine.message_row(2, "b3RoZXI="), env.mine.message_row(3, "Yw==")])?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&found) == [(env.mine.session.clone(), 3)], true))
        }),
        case("an edit appears, and only it", |env| {
            put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            let start = last(env, &env.mine)?;
            put(env, &[env.mine.message_row(1, "ZWRpdGVk"), env.mine.message_row(2, "Yg==")])?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&found) == [(env.mine.session.clone(), 1)], true))
        }),
        case("an edit by PATCH appears, and only it", |env| {
            put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            let start = last(env, &env.mine)?;
            let path = message_path(&env.mine.session, 2);
            env.send(Call::new("PATCH", path).body(r#"{"content_encrypted":"ZWRpdGVk"}"#))?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&found) == [(env.mine.session.clone(), 2)], true))
        }),
        case("a row that is deleted and put back by hand appears", |env| {
            put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            let start = last(env, &env.mine)?;
            env.send(Call::new("DELETE", message_path(&env.mine.session, 2)))?;
            put(env, &[env.mine.message_row(2, "Yg==")])?;
            let (seen, found) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&found) == [(env.mine.session.clone(), 2)], true))
        }),
        case("what a client sends for the columns is ignored", |env| {
            let start = last(env, &env.mine)?;
            let mut row = env.mine.message_row(1, "YQ==");
            row["user_id"] = json!(env.theirs.user.id);
            row["change_id"] = json!(1);
            let body = Value::Array(vec![row.clone()]).to_string();
            let query = format!("on_conflict={}", Table::Messages.conflict_columns());
            let seen =
                Seen::rest(&env.send(Call::upsert_with(Table::Messages.name(), &query, body.clone()))?);
            let (_, first) = since(env, &env.mine, start)?;
            env.send(Call::upsert_with(Table::Messages.name(), &query, body))?;
            let (_, again) = since(env, &env.mine, start)?;
            Ok(seen.effect("the changes", places(&first) == [(env.mine.session.clone(), 1)], true).effect(
                "moved by the second time",
                first != again,
                false,
            ))
        }),
        case("another user sees nothing", |env| {
            put(env, &[env.mine.message_row(1, "YQ==")])?;
            let path = feed(&env.mine.user.id, 0, 1000);
            let reply = env.send_as_is(Call::new("GET", path).token(&env.theirs.user.access_token))?;
            let hidden = Seen::rest(&reply).effect("changes shown", reply.rows().len(), 0);
            let (_, theirs) = since(env, &env.theirs, 0)?;
            let ours = theirs.iter().filter(|change| change.session == env.mine.session).count();
            Ok(hidden.effect("changes among the other user's own", ours, 0))
        }),
        case("a message written under another user's id stays in its owner's feed", |env| {
            let start = last(env, &env.mine)?;
            let mut row = env.mine.message_row(1, "YQ==");
            row["user_id"] = json!(env.mine.user.id);
            let query = format!("on_conflict={}", Table::Messages.conflict_columns());
            let call = Call::upsert_with(Table::Messages.name(), &query, Value::Array(vec![row]).to_string());
            let reply = env.send_as_is(call.token(&env.theirs.user.access_token))?;
            let (_, found) = since(env, &env.mine, start)?;
            Ok(Seen::rest(&reply).effect("changes", found.len(), 0))
        })
        .means(Verdict::Forbidden, &["42501"]),
        case("a change id that is no number", |env| {
            let path = format!("/rest/v1/{}?select=change_id&change_id=gt.x", Table::Messages.name());
            Ok(Seen::rest(&env.send(Call::new("GET", path))?))
        })
        .means(Verdict::Rejected, &["22P02"]),
    ]
}

/// Several connections of one user write at once while a reader polls with small pages.
fn concurrent_writers(env: &Environment<'_>) -> Result<Seen, ContractError> {
    let start = last(env, &env.mine)?;
    let (client, token, session) = (env.client, &env.mine.user.access_token, &env.mine.session);
    let write = |start: i64, rows: i64, batches: i64| -> Result<(), ContractError> {
        for first in (0..batches).map(|batch| start + batch * rows) {
            // Each writer has numbers of its own, and writes its last row of before once more.
            let again = (first > start).then_some(first - 1);
            let rows: Vec<Value> =
                again.into_iter().chain(first..first + rows).map(|n| message(session, n, "YQ==")).collect();
            let reply = client.send(Call::upsert(upsert(Table::Messages, &rows)).token(token))?;
            if !(200..300).contains(&reply.status) {
                return Err(reply.preparation("writing concurrently"));
            }
        }
        Ok(())
    };
    let (mut cursor, mut found) = (start, Vec::new());
    let (mut seen, mut all) = (None, 0);
    std::thread::scope(|scope| -> Result<(), ContractError> {
        let mut writers = Vec::new();
        for (rows, batches) in WRITERS {
            let start = all;
            writers.push(scope.spawn(move || write(start, rows, batches)));
            all += rows * batches;
        }
        loop {
            let over = writers.iter().all(std::thread::ScopedJoinHandle::is_finished);
            let reply = env.send(Call::new("GET", feed(&env.mine.user.id, cursor, 50)))?;
            let page = changes(&reply.rows());
            seen = Some(Seen::rest(&reply));
            cursor = page.last().map_or(cursor, |change| change.id);
            let is_empty = page.is_empty();
            found.extend(page);
            // Empty after the last writer is done: there is nothing more.
            if over && is_empty {
                break;
            }
        }
        for writer in writers {
            writer.join().map_err(|_| ContractError::Writer)??;
        }
        Ok(())
    })?;
    let numbers: BTreeSet<i64> = found.iter().map(|change| change.number).collect();
    let seen = seen.ok_or(ContractError::Writer)?;
    Ok(seen
        .effect("messages skipped", all - numbers.len() as i64, 0)
        .effect("messages seen twice", found.len() as i64 - all, 0)
        .effect("ids that do not rise", falling(&found), 0))
}

/// One row of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    id: i64,
    session: String,
    number: i64,
}

fn feed(user: &str, after: i64, limit: usize) -> String {
    format!(
        "/rest/v1/{}?user_id=eq.{user}&change_id=gt.{after}&order=change_id&limit={limit}\
         &select=change_id,session_id,sequence_number",
        Table::Messages.name()
    )
}

fn changes(rows: &[Value]) -> Vec<Change> {
    let change = |row: &Value| {
        Some(Change {
            id: row["change_id"].as_i64()?,
            session: row["session_id"].as_str()?.to_owned(),
            number: row["sequence_number"].as_i64()?,
        })
    };
    rows.iter().filter_map(change).collect()
}

/// What the user's feed holds after `start`.
fn since(
    env: &Environment<'_>,
    rows: &UserRows<'_>,
    start: i64,
) -> Result<(Seen, Vec<Change>), ContractError> {
    let call = Call::new("GET", feed(&rows.user.id, start, 1000)).token(&rows.user.access_token);
    let reply = env.send_as_is(call)?;
    Ok((Seen::rest(&reply), changes(&reply.rows())))
}

/// The user's highest change id, or zero.
fn last(env: &Environment<'_>, rows: &UserRows<'_>) -> Result<i64, ContractError> {
    let path = format!(
        "/rest/v1/{}?user_id=eq.{}&order=change_id.desc&limit=1&select=change_id",
        Table::Messages.name(),
        rows.user.id
    );
    let found = env.send_as_is(Call::new("GET", path).token(&rows.user.access_token))?.rows();
    Ok(found.first().and_then(|row| row["change_id"].as_i64()).unwrap_or_default())
}

fn falling(changes: &[Change]) -> usize {
    changes.windows(2).filter(|pair| pair[0].id >= pair[1].id).count()
}

fn places(changes: &[Change]) -> Vec<(String, i64)> {
    changes.iter().map(|change| (change.session.clone(), change.number)).collect()
}

fn message(session: &str, number: i64, content: &str) -> Value {
    crate::contract::environment::message_row(session, number, content)
}

fn message_path(session: &str, number: i64) -> String {
    format!("/rest/v1/{}?session_id=eq.{session}&sequence_number=eq.{number}", Table::Messages.name())
}

fn put(env: &Environment<'_>, rows: &[Value]) -> Result<(), ContractError> {
    let reply = env.send(Call::upsert(upsert(Table::Messages, rows)))?;
    if (200..300).contains(&reply.status) { Ok(()) } else { Err(reply.preparation("writing messages")) }
}

/// A second session of the first user, which goes with the rows of the device.
fn second_session(env: &Environment<'_>) -> Result<String, ContractError> {
    let id = uuid()?;
    let row = env.mine.session_row(&id, &env.mine.device, &env.mine.repository);
    let reply = env.send(Call::upsert(upsert(Table::Sessions, &[row])))?;
    if (200..300).contains(&reply.status) { Ok(id) } else { Err(reply.preparation("a second session")) }
}
