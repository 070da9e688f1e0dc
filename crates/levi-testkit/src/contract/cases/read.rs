//! Levi's reads: pages by cursor past any row limit, devices that may receive a secret, the
//! envelope, the owner.

use levi_transport::rows::{DeviceRow, MessageRow, SecretRow, SessionOwner, decode_rows};
use levi_transport::{Select, Table, Verdict};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::{Call, Reply};
use crate::contract::environment::{Environment, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;
use crate::contract::token::uuid;

/// More than any row limit in use. The default of hosted Supabase is 1,000 rows.
const MANY: usize = 2500;

pub(super) fn cases() -> Vec<Case> {
    let case =
        |name: &str, run: fn(&Environment<'_>) -> Result<Seen, ContractError>| Case::new("read", name, run);
    vec![
        case("2,500 messages, page by page past the server's row limit", pages),
        case("no message past the last", |env| {
            let reply = env.send(Call::select(&after(env, Some(i64::MAX), 10)))?;
            Ok(Seen::rest(&reply).effect("rows", reply.rows().len(), 0))
        })
        .differs(
            Server::Lite,
            (Meaning::Refused(Verdict::Rejected), "22003"),
            None,
            "2^63 - 1 in a filter is rounded to 2^63, which is out of range",
        ),
        case("only active devices with a key", active_devices),
        case("the envelope for a device", |env| {
            let (session, device) = (env.mine.session.as_str().into(), env.mine.device.as_str().into());
            let reply = env.send(Call::select(&Select::secret(&session, &device)))?;
            let found: Vec<String> = decoded(&reply, |row: SecretRow| row.encrypted_secret);
            Ok(Seen::rest(&reply).effect("envelopes", found, vec!["c2VhbGVk".to_owned()]))
        }),
        case("the sessions a device may read", |env| {
            let select = Select::secrets_for(&env.mine.device.as_str().into(), None, 10);
            let reply = env.send(Call::select(&select))?;
            let found: Vec<String> = decoded(&reply, |row: SecretRow| row.session_id.as_str().to_owned());
            Ok(Seen::rest(&reply).effect("sessions", found == [env.mine.session.clone()], true))
        }),
        case("the device that owns a session", |env| {
            let reply = env.send(Call::select(&Select::session_owner(&env.mine.session.as_str().into())))?;
            let found: Vec<String> = decoded(&reply, |row: SessionOwner| row.device_id.as_str().to_owned());
            Ok(Seen::rest(&reply).effect("owner", found == [env.mine.device.clone()], true))
        }),
        case("every column that Levi uses, of every table", |env| {
            let mut seen = Vec::new();
            for table in Table::ALL {
                seen.push(Seen::rest(&env.send(Call::select(&Select::probe(table)))?));
            }
            let worst = seen.iter().position(|seen| seen.status != 200).unwrap_or_default();
            Ok(seen.swap_remove(worst))
        }),
        case("a malformed uuid in a filter", |env| {
            Ok(Seen::rest(&env.send(Call::select(&Select::session_owner(&"not-a-uuid".into())))?))
        })
        .means(Verdict::Rejected, &["22P02"]),
    ]
}

fn after(env: &Environment<'_>, after: Option<i64>, limit: u32) -> Select {
    Select::messages_after(&env.mine.session.as_str().into(), after, limit)
}

fn decoded<T: DeserializeOwned, U>(reply: &Reply, of: fn(T) -> U) -> Vec<U> {
    decode_rows(&reply.body).unwrap_or_default().into_iter().map(of).collect()
}

fn pages(env: &Environment<'_>) -> Result<Seen, ContractError> {
    for start in (0..MANY as i64).step_by(500) {
        let rows: Vec<Value> = (start..start + 500).map(|n| env.mine.message_row(n, "YQ==")).collect();
        env.send(Call::upsert(upsert(Table::Messages, &rows)))?;
    }
    let mut numbers: Vec<i64> = Vec::new();
    loop {
        // Levi asks for more rows than the server may return, and continues until a page is empty.
        let reply = env.send(Call::select(&after(env, numbers.last().copied(), 5000)))?;
        let page: Vec<i64> = decoded(&reply, |row: MessageRow| row.sequence_number);
        if page.is_empty() {
            let in_order = numbers.iter().copied().eq(0..MANY as i64);
            return Ok(Seen::rest(&reply).effect("messages", (numbers.len(), in_order), (MANY, true)));
        }
        numbers.extend(page);
    }
}

fn active_devices(env: &Environment<'_>) -> Result<Seen, ContractError> {
    let rows = &env.mine;
    let mut inactive = rows.device_row(&uuid()?);
    inactive["is_active"] = json!(false);
    let mut keyless = rows.device_row(&uuid()?);
    keyless["public_key"] = Value::Null;
    let extra = [inactive, keyless];
    env.send(Call::upsert(upsert(Table::Devices, &extra)))?;
    let reply = env.send(Call::select(&Select::active_devices(&rows.user.id.as_str().into(), None, 1000)))?;
    let found: Vec<String> = decoded(&reply, |row: DeviceRow| row.id.as_str().to_owned());
    for row in &extra {
        let id = row["id"].as_str().unwrap_or_default();
        env.send(Call::new("DELETE", format!("/rest/v1/devices?id=eq.{id}")))?;
    }
    let ours = found.contains(&rows.device);
    let others = extra.iter().filter(|row| found.iter().any(|id| row["id"] == **id)).count();
    Ok(Seen::rest(&reply).effect("found ours, found others", (ours, others), (true, 0)))
}
