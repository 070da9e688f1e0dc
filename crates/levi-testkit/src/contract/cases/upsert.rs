//! One POST is one INSERT ... ON CONFLICT DO UPDATE: all rows or none.

use levi_transport::{Table, Upsert, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::stage::{Scene, Stage, upsert};
use crate::contract::target::Server;
use crate::contract::token::uuid;
use crate::contract::trouble::Trouble;

const MESSAGES: &str = Table::Messages.name();

pub(super) fn cases() -> Vec<Case> {
    let case = |name: &str, play: fn(&Stage<'_>) -> Result<Seen, Trouble>| Case::new("upsert", name, play);
    let mut cases = vec![
        case("new rows", |stage| {
            let seen = put(stage, &[stage.mine.message_row(1, "YQ=="), stage.mine.message_row(2, "Yg==")])?;
            holds(stage, seen, &[("1", "YQ=="), ("2", "Yg==")])
        }),
        case("rows that are there already are merged", |stage| {
            put(stage, &[stage.mine.message_row(1, "YQ=="), stage.mine.message_row(2, "Yg==")])?;
            let seen = put(stage, &[stage.mine.message_row(1, "Yw=="), stage.mine.message_row(2, "Yg==")])?;
            holds(stage, seen, &[("1", "Yw=="), ("2", "Yg==")])
        }),
        case("new and merged rows in one batch", |stage| {
            put(stage, &[stage.mine.message_row(2, "Yg==")])?;
            let seen = put(stage, &[stage.mine.message_row(2, "Yw=="), stage.mine.message_row(3, "ZA==")])?;
            holds(stage, seen, &[("2", "Yw=="), ("3", "ZA==")])
        }),
        case("two rows with one key in a batch", |stage| {
            let seen = put(stage, &[stage.mine.message_row(1, "YQ=="), stage.mine.message_row(1, "Yg==")])?;
            holds(stage, seen, &[])
        })
        .means(Verdict::DuplicateInBatch, &["21000"]),
        case("one bad row among good ones: none is written", |stage| {
            let mut bad = stage.mine.message_row(2, "Yg==");
            bad["content_encrypted"] = Value::Null;
            let rows = [stage.mine.message_row(1, "YQ=="), bad, stage.mine.message_row(3, "Yw==")];
            let seen = put(stage, &rows)?;
            holds(stage, seen, &[])
        })
        .means(Verdict::Rejected, &["23502"]),
        case("2,000 rows", many_rows),
        case("a message of 1 MiB", |stage| {
            let content = "A".repeat((1 << 20) / 3 * 4 + 4);
            let seen = put(stage, &[stage.mine.message_row(1, &content)])?;
            holds(stage, seen, &[("1", content.as_str())])
        }),
        case("no rows", |stage| put(stage, &[])),
        case("rows of unequal keys, with columns=", |stage| {
            let seen = Seen::rest(&stage.send(Call::upsert(messages(&unequal(&stage.mine))))?);
            holds(stage, seen, &[("1", "YQ=="), ("2", "Yg==")])
        }),
        case("rows of unequal keys, without columns=", |stage| {
            let body = messages(&unequal(&stage.mine)).body;
            let query = format!("on_conflict={}", Table::Messages.conflict_columns());
            let seen = Seen::rest(&stage.send(Call::upsert_with(MESSAGES, &query, body))?);
            holds(stage, seen, &[])
        })
        .means(Verdict::Rejected, &["PGRST102"]),
        case("a session over one that is there", |stage| {
            let scene = &stage.mine;
            let mut row = scene.session_row(&scene.session, &scene.device, &scene.repository);
            row["status"] = json!("ended");
            let seen = Seen::rest(&stage.send(Call::upsert(upsert(Table::Sessions, &[row])))?);
            let path = format!("/rest/v1/agent_coding_sessions?select=status&id=eq.{}", scene.session);
            let found = stage.send(Call::new("GET", path))?.rows();
            Ok(seen.effect("the session", found, vec![json!({"status": "ended"})]))
        }),
        case("a secret sealed anew by the owner forgets the other sender", forgotten_sender),
        case("a folder under a second repository id", |stage| {
            let scene = &stage.mine;
            let mut row = scene.repository_row(&uuid()?, &scene.device);
            row["local_path"] = json!(format!("/contract/{}", scene.repository));
            Ok(Seen::rest(&stage.send(Call::upsert(upsert(Table::Repositories, &[row])))?))
        })
        .means(Verdict::Rejected, &["23505"]),
    ];
    cases.push(
        case("sequence numbers past 2^53 stay exact", |stage| {
            let seen = put(stage, &[stage.mine.message_row(9_007_199_254_740_993, "YQ==")])?;
            holds(stage, seen, &[("9007199254740993", "YQ==")])
        })
        .differs(
            Server::Lite,
            (Meaning::Accepted, "201"),
            Some(r#"messages: [("9007199254740992", "YQ==")] instead of [("9007199254740993", "YQ==")]"#),
            "it reads numbers as JavaScript does, exact up to 2^53 only",
        ),
    );
    cases.push(
        case("the largest sequence number, 2^63 - 1", |stage| {
            let seen = put(stage, &[stage.mine.message_row(i64::MAX, "YQ==")])?;
            holds(stage, seen, &[("9223372036854775807", "YQ==")])
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

fn many_rows(stage: &Stage<'_>) -> Result<Seen, Trouble> {
    let rows: Vec<Value> = (0..2000).map(|n| stage.mine.message_row(n, "YQ==")).collect();
    let seen = put(stage, &rows)?;
    let found: Vec<String> = stage.messages(&stage.mine)?.into_iter().map(|(number, _)| number).collect();
    let in_order = found.iter().enumerate().all(|(at, number)| *number == at.to_string());
    Ok(seen.effect("messages", (found.len(), in_order), (2000, true)))
}

/// A second device may seal a session's secret for a third. Where the owner seals it again, the recipient must not go
/// on looking for the second device's signature.
fn forgotten_sender(stage: &Stage<'_>) -> Result<Seen, Trouble> {
    let scene = &stage.mine;
    let mut row = scene.secret_row(&scene.session, &scene.device);
    row["sender_device_id"] = json!(scene.device);
    stage.send(Call::upsert(upsert(Table::Secrets, std::slice::from_ref(&row))))?;
    row["sender_device_id"] = Value::Null;
    let seen = Seen::rest(&stage.send(Call::upsert(upsert(Table::Secrets, &[row])))?);
    let path = format!(
        "/rest/v1/agent_coding_session_secrets?select=sender_device_id&session_id=eq.{}",
        scene.session
    );
    let found = stage.send(Call::new("GET", path))?.rows();
    Ok(seen.effect("the secret", found, vec![json!({"sender_device_id": null})]))
}

fn unequal(scene: &Scene<'_>) -> [Value; 2] {
    let mut second = scene.message_row(2, "Yg==");
    second["created_at"] = json!("2026-01-02T03:04:05Z");
    [scene.message_row(1, "YQ=="), second]
}

fn messages(rows: &[Value]) -> Upsert {
    upsert(Table::Messages, rows)
}

fn put(stage: &Stage<'_>, rows: &[Value]) -> Result<Seen, Trouble> {
    Ok(Seen::rest(&stage.send(Call::upsert(messages(rows)))?))
}

fn holds(stage: &Stage<'_>, seen: Seen, expected: &[(&str, &str)]) -> Result<Seen, Trouble> {
    let expected =
        expected.iter().map(|(number, content)| ((*number).to_owned(), (*content).to_owned())).collect();
    Ok(seen.effect("messages", stage.messages(&stage.mine)?, expected))
}
