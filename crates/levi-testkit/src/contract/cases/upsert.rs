//! One POST is one INSERT ... ON CONFLICT DO UPDATE: all rows or none.

use levi_transport::{Table, Upsert, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, UserRows, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;
use crate::contract::token::uuid;

const MESSAGES: &str = Table::Messages.name();

pub(super) fn cases() -> Vec<Case> {
    let case =
        |name: &str, run: fn(&Environment<'_>) -> Result<Seen, ContractError>| Case::new("upsert", name, run);
    let mut cases = vec![
        case("new rows", |env| {
            let seen = put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            holds(env, seen, &[("1", "YQ=="), ("2", "Yg==")])
        }),
        case("rows that are there already are merged", |env| {
            put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yg==")])?;
            let seen = put(env, &[env.mine.message_row(1, "Yw=="), env.mine.message_row(2, "Yg==")])?;
            holds(env, seen, &[("1", "Yw=="), ("2", "Yg==")])
        }),
        case("new and merged rows in one batch", |env| {
            put(env, &[env.mine.message_row(2, "Yg==")])?;
            let seen = put(env, &[env.mine.message_row(2, "Yw=="), env.mine.message_row(3, "ZA==")])?;
            holds(env, seen, &[("2", "Yw=="), ("3", "ZA==")])
        }),
        case("two rows with one key in a batch", |env| {
            let seen = put(env, &[env.mine.message_row(1, "YQ=="), env.mine.message_row(1, "Yg==")])?;
            holds(env, seen, &[])
        })
        .means(Verdict::DuplicateInBatch, &["21000"]),
        case("one bad row among good ones: none is written", |env| {
            let mut bad = env.mine.message_row(2, "Yg==");
            bad["content_encrypted"] = Value::Null;
            let rows = [env.mine.message_row(1, "YQ=="), bad, env.mine.message_row(3, "Yw==")];
            let seen = put(env, &rows)?;
            holds(env, seen, &[])
        })
        .means(Verdict::Rejected, &["23502"]),
        case("an insert that leaves existing rows alone returns the new ones", |env| {
            put(env, &[env.mine.message_row(2, "Yg==")])?;
            let rows = [env.mine.message_row(1, "YQ=="), env.mine.message_row(2, "Yw==")];
            let reply = env.send(insert(&rows))?;
            let expected = vec![json!({"session_id": env.mine.session, "sequence_number": 1})];
            let seen = Seen::rest(&reply).effect("the answer", reply.rows(), expected);
            holds(env, seen, &[("1", "YQ=="), ("2", "Yg==")])
        }),
        case("an insert of rows that are all there returns none", |env| {
            put(env, &[env.mine.message_row(1, "YQ==")])?;
            let reply = env.send(insert(&[env.mine.message_row(1, "Yg==")]))?;
            let seen = Seen::rest(&reply).effect("the answer", reply.rows(), vec![]);
            holds(env, seen, &[("1", "YQ==")])
        }),
        case("one bad row among good ones: an insert writes none", |env| {
            let mut bad = env.mine.message_row(2, "Yg==");
            bad["content_encrypted"] = Value::Null;
            let seen = Seen::rest(&env.send(insert(&[env.mine.message_row(1, "YQ=="), bad]))?);
            holds(env, seen, &[])
        })
        .means(Verdict::Rejected, &["23502"]),
        case("a text is replaced where its nonce is the one that was seen", |env| {
            put(env, &[env.mine.message_row(1, "YQ==")])?;
            let nonce = env.mine.message_row(1, "YQ==")["content_nonce"].clone();
            let seen = replaced(env, nonce.as_str().unwrap_or_default(), 1)?;
            holds(env, seen, &[("1", "Yg==")])
        }),
        case("a text is left alone where its nonce is another one", |env| {
            put(env, &[env.mine.message_row(1, "YQ==")])?;
            let seen = replaced(env, "another", 0)?;
            holds(env, seen, &[("1", "YQ==")])
        }),
        case("2,000 rows", many_rows),
        case("a message of 1 MiB", |env| {
            let content = "A".repeat((1 << 20) / 3 * 4 + 4);
            let seen = put(env, &[env.mine.message_row(1, &content)])?;
            holds(env, seen, &[("1", content.as_str())])
        }),
        case("no rows", |env| put(env, &[])),
        case("rows of unequal keys, with columns=", |env| {
            let seen = Seen::rest(&env.send(Call::upsert(messages(&unequal(&env.mine))))?);
            holds(env, seen, &[("1", "YQ=="), ("2", "Yg==")])
        }),
        case("rows of unequal keys, without columns=", |env| {
            let body = messages(&unequal(&env.mine)).body;
            let query = format!("on_conflict={}", Table::Messages.conflict_columns());
            let seen = Seen::rest(&env.send(Call::upsert_with(MESSAGES, &query, body))?);
            holds(env, seen, &[])
        })
        .means(Verdict::Rejected, &["PGRST102"]),
        case("a session over one that is there", |env| {
            let rows = &env.mine;
            let mut row = rows.session_row(&rows.session, &rows.device, &rows.repository);
            row["status"] = json!("ended");
            let seen = Seen::rest(&env.send(Call::upsert(upsert(Table::Sessions, &[row])))?);
            let path = format!("/rest/v1/agent_coding_sessions?select=status&id=eq.{}", rows.session);
            let found = env.send(Call::new("GET", path))?.rows();
            Ok(seen.effect("the session", found, vec![json!({"status": "ended"})]))
        }),
        case("a secret sealed anew by the owner forgets the other sender", forgotten_sender),
        case("a folder under a second repository id", |env| {
            let rows = &env.mine;
            let mut row = rows.repository_row(&uuid()?, &rows.device);
            row["local_path"] = json!(format!("/contract/{}", rows.repository));
            Ok(Seen::rest(&env.send(Call::upsert(upsert(Table::Repositories, &[row])))?))
        })
        .means(Verdict::Rejected, &["23505"]),
    ];
    cases.push(
        case("sequence numbers past 2^53 stay exact", |env| {
            let seen = put(env, &[env.mine.message_row(9_007_199_254_740_993, "YQ==")])?;
            holds(env, seen, &[("9007199254740993", "YQ==")])
        })
        .differs(
            Server::Lite,
            (Meaning::Accepted, "201"),
            Some(r#"messages: [("9007199254740992", "YQ==")] instead of [("9007199254740993", "YQ==")]"#),
            "it reads numbers as JavaScript does, exact up to 2^53 only",
        ),
    );
    cases.push(
        case("the largest sequence number, 2^63 - 1", |env| {
            let seen = put(env, &[env.mine.message_row(i64::MAX, "YQ==")])?;
            holds(env, seen, &[("9223372036854775807", "YQ==")])
        })
        .differs(
            Server::Lite,
            (Meaning::Refused(Verdict::Rejected), "22003"),
            Some(r#"messages: [] instead of [("9223372036854775807", "YQ==")]"#),
            "rounded to 2^63, which is out of range",
        ),
    );
    cases
}

fn insert(rows: &[Value]) -> Call {
    let Upsert { columns, body, .. } = messages(rows);
    let key = Table::Messages.conflict_columns();
    let path = format!("/rest/v1/{MESSAGES}?on_conflict={key}&columns={columns}&select={key}");
    let body = String::from_utf8_lossy(&body).into_owned();
    Call::new("POST", path).body(body).prefer("resolution=ignore-duplicates,return=representation")
}

/// Another text for message 1, if it has this nonce; `rows` is how many rows come back.
fn replaced(env: &Environment<'_>, nonce: &str, rows: usize) -> Result<Seen, ContractError> {
    let session = &env.mine.session;
    let nonce = nonce.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let path = format!(
        "/rest/v1/{MESSAGES}?select=sequence_number&session_id=eq.{session}&sequence_number=eq.1\
         &content_nonce=eq.{nonce}"
    );
    let body = json!({"content_encrypted": "Yg=="}).to_string();
    let reply = env.send(Call::new("PATCH", path).body(body).prefer("return=representation"))?;
    Ok(Seen::rest(&reply).effect("rows returned", reply.rows().len(), rows))
}

fn many_rows(env: &Environment<'_>) -> Result<Seen, ContractError> {
    let rows: Vec<Value> = (0..2000).map(|n| env.mine.message_row(n, "YQ==")).collect();
    let seen = put(env, &rows)?;
    let found: Vec<String> = env.messages(&env.mine)?.into_iter().map(|(number, _)| number).collect();
    let in_order = found.iter().enumerate().all(|(at, number)| *number == at.to_string());
    Ok(seen.effect("messages", (found.len(), in_order), (2000, true)))
}

/// A second device may seal a session's secret for a third. When the owner seals it again, the
/// recipient must no longer expect the second device as the sender.
fn forgotten_sender(env: &Environment<'_>) -> Result<Seen, ContractError> {
    let rows = &env.mine;
    let mut row = rows.secret_row(&rows.session, &rows.device);
    row["sender_device_id"] = json!(rows.device);
    env.send(Call::upsert(upsert(Table::Secrets, std::slice::from_ref(&row))))?;
    row["sender_device_id"] = Value::Null;
    let seen = Seen::rest(&env.send(Call::upsert(upsert(Table::Secrets, &[row])))?);
    let path = format!(
        "/rest/v1/agent_coding_session_secrets?select=sender_device_id&session_id=eq.{}",
        rows.session
    );
    let found = env.send(Call::new("GET", path))?.rows();
    Ok(seen.effect("the secret", found, vec![json!({"sender_device_id": null})]))
}

fn unequal(rows: &UserRows<'_>) -> [Value; 2] {
    let mut second = rows.message_row(2, "Yg==");
    second["created_at"] = json!("2026-01-02T03:04:05Z");
    [rows.message_row(1, "YQ=="), second]
}

fn messages(rows: &[Value]) -> Upsert {
    upsert(Table::Messages, rows)
}

fn put(env: &Environment<'_>, rows: &[Value]) -> Result<Seen, ContractError> {
    Ok(Seen::rest(&env.send(Call::upsert(messages(rows)))?))
}

fn holds(env: &Environment<'_>, seen: Seen, expected: &[(&str, &str)]) -> Result<Seen, ContractError> {
    let expected =
        expected.iter().map(|(number, content)| ((*number).to_owned(), (*content).to_owned())).collect();
    Ok(seen.effect("messages", env.messages(&env.mine)?, expected))
}
