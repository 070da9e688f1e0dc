//! Rows whose session, repository or device is missing, or another user's.
//!
//! Messages and secrets belong to a user through their session, so the policy refuses them (42501) before any foreign
//! key is looked at. Repositories and sessions name their own user; there the foreign key speaks (23503).

use levi_transport::{Table, Verdict};
use serde_json::{Value, json};

use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::stage::{Stage, message_row, upsert};
use crate::contract::token::uuid;
use crate::contract::trouble::Trouble;

pub(super) fn cases() -> Vec<Case> {
    let refused = |name, table, row| case(name, table, row).means(Verdict::Forbidden, &["42501"]);
    let missing = |name, table, row| case(name, table, row).means(Verdict::MissingParent, &["23503"]);
    vec![
        refused("a message of a session that is not there", Table::Messages, |_| {
            Ok(message_row(&uuid()?, 1, "YQ=="))
        }),
        refused("a message of another user's session", Table::Messages, |stage| {
            Ok(message_row(&stage.theirs.session, 1, "YQ=="))
        }),
        missing("a session in a repository that is not there", Table::Sessions, |stage| {
            Ok(stage.mine.session_row(&uuid()?, &stage.mine.device, &uuid()?))
        }),
        missing("a session in another user's repository", Table::Sessions, |stage| {
            Ok(stage.mine.session_row(&uuid()?, &stage.mine.device, &stage.theirs.repository))
        }),
        missing("a session on another user's device", Table::Sessions, |stage| {
            Ok(stage.mine.session_row(&uuid()?, &stage.theirs.device, &stage.mine.repository))
        }),
        missing("a repository on a device that is not there", Table::Repositories, |stage| {
            Ok(stage.mine.repository_row(&uuid()?, &uuid()?))
        }),
        missing("a repository on another user's device", Table::Repositories, |stage| {
            Ok(stage.mine.repository_row(&uuid()?, &stage.theirs.device))
        }),
        refused("a secret for a device that is not there", Table::Secrets, |stage| {
            Ok(stage.mine.secret_row(&stage.mine.session, &uuid()?))
        }),
        refused("a secret for another user's device", Table::Secrets, |stage| {
            Ok(stage.mine.secret_row(&stage.mine.session, &stage.theirs.device))
        }),
        refused("a secret of another user's session", Table::Secrets, |stage| {
            Ok(stage.mine.secret_row(&stage.theirs.session, &stage.mine.device))
        }),
        refused("a secret that names another user's device as sender", Table::Secrets, |stage| {
            let mut row = stage.mine.secret_row(&stage.mine.session, &stage.mine.device);
            row["sender_device_id"] = json!(stage.theirs.device);
            Ok(row)
        }),
    ]
}

fn case(name: &str, table: Table, row: fn(&Stage<'_>) -> Result<Value, Trouble>) -> Case {
    Case::new("parent", name, move |stage| {
        let seen = Seen::rest(&stage.send(Call::upsert(upsert(table, &[row(stage)?])))?);
        Ok(seen.effect("the other user's messages", stage.messages(&stage.theirs)?, vec![]))
    })
}
