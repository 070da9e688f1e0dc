//! A project without Levi's tables, or with those of another version, as `levi doctor --server`
//! detects it.

use levi_transport::{Select, Table, Verdict};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{message_row, upsert};
use crate::contract::target::Server;
use crate::contract::token::uuid;

const MESSAGES: &str = Table::Messages.name();
const KEY: &str = Table::Messages.conflict_columns();
const COLUMNS: &str = Table::Messages.columns();

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("schema", "an upsert to a table that is missing", |env| {
            let call = Call::upsert_with("levi_no_such_table", "on_conflict=id&columns=id", r#"[{"id":1}]"#);
            Ok(Seen::rest(&env.send(call)?))
        })
        .means(Verdict::SchemaMismatch, &["PGRST205"]),
        Case::new("schema", "an upsert to a column that is missing", |env| {
            let query = format!("on_conflict={KEY}&columns={COLUMNS},levi_no_such_column");
            let body = upsert(Table::Messages, &[env.mine.message_row(1, "YQ==")]).body;
            Ok(Seen::rest(&env.send(Call::upsert_with(MESSAGES, &query, body))?))
        })
        .means(Verdict::SchemaMismatch, &["PGRST204"]),
        Case::new("schema", "an upsert by a unique key that is missing", |env| {
            // The policy refuses this row, so nothing is written even if the key exists.
            let row = message_row(&uuid()?, 1, "YQ==");
            let query = format!("on_conflict=content_nonce&columns={COLUMNS}");
            Ok(Seen::rest(&env.send(Call::upsert_with(
                MESSAGES,
                &query,
                upsert(Table::Messages, &[row]).body,
            ))?))
        })
        .means(Verdict::SchemaMismatch, &["42P10"]),
        Case::new("schema", "a select from a table that is missing", |env| {
            Ok(Seen::rest(&env.send(Call::new("GET", "/rest/v1/levi_no_such_table?select=id&limit=0"))?))
        })
        .means(Verdict::SchemaMismatch, &["PGRST205"]),
        Case::new("schema", "a select of a column that is missing", |env| {
            let path = format!("/rest/v1/{MESSAGES}?select=levi_no_such_column&limit=0");
            Ok(Seen::rest(&env.send(Call::new("GET", path))?))
        })
        .means(Verdict::SchemaMismatch, &["42703"]),
        Case::new("schema", "a pattern match on the columns that must be text", |env| {
            let mut seen = Vec::new();
            for table in Table::ALL {
                for column in table.base64_columns() {
                    let select = Select::text_probe(table, column);
                    seen.push(Seen::rest(&env.send(Call::select(&select))?));
                }
            }
            let worst = seen.iter().position(|seen| seen.status != 200).unwrap_or_default();
            Ok(seen.swap_remove(worst))
        }),
        Case::new("schema", "a pattern match on a column that is not text", |env| {
            let select = Select::text_probe(Table::Messages, "session_id");
            Ok(Seen::rest(&env.send(Call::select(&select))?))
        })
        .means(Verdict::SchemaMismatch, &["42883"]),
        Case::new("schema", "a schema that is not exposed", |env| {
            let call = Call::new("GET", format!("/rest/v1/{MESSAGES}?select=session_id&limit=0"));
            Ok(Seen::rest(&env.send(call.header("Accept-Profile", "levi_no_such_schema"))?))
        })
        .means(Verdict::SchemaMismatch, &["PGRST106"])
        .differs(
            Server::FakeSupabase,
            (Meaning::Accepted, "200"),
            None,
            "it has one schema and looks at no profile header",
        ),
    ]
}
