//! Rows that are bad in themselves: never retried as they are, parked with their code.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::stage::{Stage, upsert};
use crate::contract::target::Server;
use crate::contract::trouble::Trouble;

const CHECK_ON_LITE: &str =
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
        Case::new("bad row", "an unknown session status", |stage| {
            let scene = &stage.mine;
            let mut row = scene.session_row(&scene.session, &scene.device, &scene.repository);
            row["status"] = json!("sleeping");
            Ok(Seen::rest(&stage.send(Call::upsert(upsert(Table::Sessions, &[row])))?))
        })
        .means(Verdict::Rejected, &["23514"])
        .differs(Server::Lite, (Meaning::Refused(Verdict::Busy), "SUP"), None, CHECK_ON_LITE),
        Case::new("bad row", "a body that is not JSON", |stage| {
            let mut broken = upsert(Table::Messages, &[stage.mine.message_row(1, "YQ==")]);
            broken.body.truncate(broken.body.len() - 2);
            Ok(Seen::rest(&stage.send(Call::upsert(broken))?))
        })
        // With `columns=` PostgREST leaves reading the body to PostgreSQL.
        .means(Verdict::Rejected, &["22P02", "PGRST102"]),
    ]
}

fn message(name: &str, codes: &'static [&'static str], spoil: fn(&mut Value)) -> Case {
    let play = move |stage: &Stage<'_>| -> Result<Seen, Trouble> {
        let mut row = stage.mine.message_row(1, "YQ==");
        spoil(&mut row);
        let seen = Seen::rest(&stage.send(Call::upsert(upsert(Table::Messages, &[row])))?);
        Ok(seen.effect("messages", stage.messages(&stage.mine)?, vec![]))
    };
    Case::new("bad row", name, play).means(Verdict::Rejected, codes)
}
