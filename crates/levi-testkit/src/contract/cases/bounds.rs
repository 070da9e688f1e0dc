//! How much a row may hold. The bounds limit what a stolen access token can fill up; Levi's own
//! rows are far below.

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use super::row::CHECK_ON_LITE;
use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, UserRows, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;

pub(super) fn cases() -> Vec<Case> {
    let text = |bytes: usize| json!("A".repeat(bytes));
    vec![
        refused(Table::Devices, "public_key", text(65), |rows| rows.device_row(&rows.device)),
        refused(Table::Messages, "content_nonce", text(65), |rows| rows.message_row(1, "YQ==")),
        refused(Table::Secrets, "ephemeral_public_key", text(65), secret),
        refused(Table::Secrets, "encrypted_secret", text(257), secret),
        refused(Table::DeviceList, "slot", json!(-1), |rows| rows.list_row(0)),
        refused(Table::DeviceList, "slot", json!(2000), |rows| rows.list_row(0)),
        refused(Table::DeviceList, "entry", text(8193), |rows| rows.list_row(0)),
        refused(Table::DeviceList, "signature", text(129), |rows| rows.list_row(0)),
        refused(Table::DeviceList, "cosignature", text(129), |rows| rows.list_row(0)),
        refused(Table::Keyrings, "epoch", json!(0), keyring),
        refused(Table::Keyrings, "enc", text(2049), keyring),
        refused(Table::Keyrings, "sealed", text(65537), keyring),
        refused(Table::Pairings, "id", text(65), pairing),
        refused(Table::Pairings, "request", text(8193), pairing),
        refused(Table::Pairings, "answer", text(16385), pairing),
        refused(Table::Pairings, "cosignature", text(129), pairing),
        Case::new("bounds", "the longest texts of every table", longest),
    ]
}

fn keyring(rows: &UserRows<'_>) -> Value {
    rows.keyring_row()
}

fn pairing(rows: &UserRows<'_>) -> Value {
    rows.pairing_row()
}

fn secret(rows: &UserRows<'_>) -> Value {
    rows.secret_row(&rows.session, &rows.device)
}

/// A row that is sound but for one value.
fn refused(table: Table, column: &'static str, value: Value, row: fn(&UserRows<'_>) -> Value) -> Case {
    let what = match &value {
        Value::String(text) => format!("{}: {column} of {} bytes", table.name(), text.len()),
        number => format!("{}: {column} of {number}", table.name()),
    };
    let run = move |env: &Environment<'_>| -> Result<Seen, ContractError> {
        let mut row = row(&env.mine);
        row[column] = value.clone();
        Ok(Seen::rest(&env.send(write(table, row))?))
    };
    Case::new("bounds", what, run).means(Verdict::Rejected, &["23514"]).differs(
        Server::Lite,
        (Meaning::Refused(Verdict::Busy), "SUP"),
        None,
        CHECK_ON_LITE,
    )
}

/// Every column at its bound: each write must be accepted.
fn longest(env: &Environment<'_>) -> Result<Seen, ContractError> {
    let rows = &env.mine;
    let mut seen = Vec::new();
    for (table, mut row, columns) in [
        (Table::Devices, rows.device_row(&rows.device), vec![("public_key", 64)]),
        (Table::Messages, rows.message_row(1, "YQ=="), vec![("content_nonce", 64)]),
        (Table::Secrets, secret(rows), vec![("ephemeral_public_key", 64), ("encrypted_secret", 256)]),
        (Table::Keyrings, rows.keyring_row(), vec![("enc", 2048), ("sealed", 65536)]),
        (
            Table::Pairings,
            rows.pairing_row(),
            vec![("request", 8192), ("answer", 16384), ("cosignature", 128)],
        ),
    ] {
        for (column, bytes) in columns {
            row[column] = json!("A".repeat(bytes));
        }
        seen.push(Seen::rest(&env.send(write(table, row))?));
    }
    let worst = seen.iter().position(|seen| seen.meaning != Meaning::Accepted).unwrap_or_default();
    Ok(seen.swap_remove(worst))
}

fn write(table: Table, row: Value) -> Call {
    let rows = upsert(table, &[row]);
    if table == Table::DeviceList { Call::insert(rows) } else { Call::upsert(rows) }
}
