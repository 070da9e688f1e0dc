//! The publishable key, which the gateway in front of the project requires.

use levi_transport::{Select, Table, Verdict};

use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, upsert};

type Spoil = fn(Call) -> Call;

pub(super) fn cases() -> Vec<Case> {
    let missing: Spoil = Call::no_key;
    let wrong: Spoil = |call| call.key("sb_publishable_of_another_project");
    let mut cases = Vec::new();
    for (name, spoil) in [("without the key", missing), ("with a wrong key", wrong)] {
        cases.push(Case::new("publishable key", format!("upsert {name}"), move |env| {
            let call = Call::upsert(upsert(Table::Messages, &[env.mine.message_row(1, "YQ==")]));
            let seen = Seen::rest(&env.send(spoil(call))?);
            Ok(seen.effect("messages", env.messages(&env.mine)?, vec![]))
        }));
        cases.push(Case::new("publishable key", format!("select {name}"), move |env: &Environment<'_>| {
            let call = Call::select(&Select::session_owner(&env.mine.session.as_str().into()));
            let reply = env.send(spoil(call))?;
            Ok(Seen::rest(&reply).effect("rows shown", reply.rows().len(), 0))
        }));
    }
    cases.into_iter().map(|case| case.means(Verdict::SignedOut, &["401"])).collect()
}
