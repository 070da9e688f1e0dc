//! Invalid rows, which Levi parks with their code and does not retry.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;

pub(super) const CHECK_ON_LITE: &str =
    "it does not pass on 23514, so the row is retried as on a busy server, not parked";

pub(super) fn cases() -> Vec<Case> {
    vec![
        message("a session id that is no uuid", &["22P02"], |row| row["session_id"] = json!("not-a-uuid")),
        message("NUL in text", &["22P05", "22021"], |row| row["content_encrypted"] = json!("a\0b")),
        message("null where a value must be", &["23502"], |row| row["content_nonce"] = Value::Null),
        message("a negative sequence number", &["23514"], |row| row["sequence_number"] = json!(-1)).differs(
            Server::Lite,
            (Meaning::Refused(Verdict::Busy), "SUP"),
            None,
            CHECK_ON_LITE,
        ),
        message("a sequence number past bigint", &["22003"], |row| {
            row["sequence_number"] = json!(9_223_372_036_854_775_808_u64);
        }),
        message("a sequence number that is no integer", &["22P02"], |row| {
            row["sequence_number"] = json!(1.5)
        }),
        Case::new("bad row", "an unknown session status", |env| {
            let rows = &env.mine;
            let mut row = rows.session_row(&rows.session, &rows.device, &rows.repository);
            row["status"] = json!("sleeping");
            Ok(Seen::rest(&env.send(Call::upsert(upsert(Table::Sessions, &[row])))?))
        })
        .means(Verdict::Rejected, &["23514"])
        .differs(Server::Lite, (Meaning::Refused(Verdict::Busy), "SUP"), None, CHECK_ON_LITE),
        Case::new("bad row", "a body that is not JSON", |env| {
            let mut broken = upsert(Table::Messages, &[env.mine.message_row(1, "YQ==")]);
            broken.body.truncate(broken.body.len() - 2);
            Ok(Seen::rest(&env.send(Call::upsert(broken))?))
        })
        // With `columns=` PostgREST leaves reading the body to PostgreSQL.
        .means(Verdict::Rejected, &["22P02", "PGRST102"]),
    ]
}

fn message(name: &str, codes: &'static [&'static str], spoil: fn(&mut Value)) -> Case {
    let run = move |env: &Environment<'_>| -> Result<Seen, ContractError> {
        let mut row = env.mine.message_row(1, "YQ==");
        spoil(&mut row);
        let seen = Seen::rest(&env.send(Call::upsert(upsert(Table::Messages, &[row])))?);
        Ok(seen.effect("messages", env.messages(&env.mine)?, vec![]))
    };
    Case::new("bad row", name, run).means(Verdict::Rejected, codes)
}
