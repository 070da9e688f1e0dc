//! Rows whose session, repository or device is missing or belongs to another user.
//!
//! Messages and secrets belong to a user through their session, so the policy refuses them (42501)
//! before any foreign key is checked. Repositories and sessions name their user, so the foreign key
//! refuses them (23503).

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, message_row, upsert};
use crate::contract::error::ContractError;
use crate::contract::token::uuid;

pub(super) fn cases() -> Vec<Case> {
    let refused = |name, table, row| case(name, table, row).means(Verdict::Forbidden, &["42501"]);
    let missing = |name, table, row| case(name, table, row).means(Verdict::MissingParent, &["23503"]);
    vec![
        refused("a message of a session that is not there", Table::Messages, |_| {
            Ok(message_row(&uuid()?, 1, "YQ=="))
        }),
        refused("a message of another user's session", Table::Messages, |env| {
            Ok(message_row(&env.theirs.session, 1, "YQ=="))
        }),
        missing("a session in a repository that is not there", Table::Sessions, |env| {
            Ok(env.mine.session_row(&uuid()?, &env.mine.device, &uuid()?))
        }),
        missing("a session in another user's repository", Table::Sessions, |env| {
            Ok(env.mine.session_row(&uuid()?, &env.mine.device, &env.theirs.repository))
        }),
        missing("a session on another user's device", Table::Sessions, |env| {
            Ok(env.mine.session_row(&uuid()?, &env.theirs.device, &env.mine.repository))
        }),
        missing("a repository on a device that is not there", Table::Repositories, |env| {
            Ok(env.mine.repository_row(&uuid()?, &uuid()?))
        }),
        missing("a repository on another user's device", Table::Repositories, |env| {
            Ok(env.mine.repository_row(&uuid()?, &env.theirs.device))
        }),
        refused("a secret for a device that is not there", Table::Secrets, |env| {
            Ok(env.mine.secret_row(&env.mine.session, &uuid()?))
        }),
        refused("a secret for another user's device", Table::Secrets, |env| {
            Ok(env.mine.secret_row(&env.mine.session, &env.theirs.device))
        }),
        refused("a secret of another user's session", Table::Secrets, |env| {
            Ok(env.mine.secret_row(&env.theirs.session, &env.mine.device))
        }),
        refused("a secret that names another user's device as sender", Table::Secrets, |env| {
            let mut row = env.mine.secret_row(&env.mine.session, &env.mine.device);
            row["sender_device_id"] = json!(env.theirs.device);
            Ok(row)
        }),
    ]
}

fn case(name: &str, table: Table, row: fn(&Environment<'_>) -> Result<Value, ContractError>) -> Case {
    Case::new("parent", name, move |env| {
        let seen = Seen::rest(&env.send(Call::upsert(upsert(table, &[row(env)?])))?);
        Ok(seen.effect("the other user's messages", env.messages(&env.theirs)?, vec![]))
    })
}
