//! The publishable key, which the gateway in front of the project asks for.

use levi_transport::{Select, Table, Verdict};

use crate::contract::case::{Case, Seen};
use crate::contract::client::Call;
use crate::contract::stage::{Stage, upsert};

type Spoil = fn(Call) -> Call;

pub(super) fn cases() -> Vec<Case> {
    let missing: Spoil = Call::no_key;
    let wrong: Spoil = |call| call.key("sb_publishable_of_another_project");
    let mut cases = Vec::new();
    for (name, spoil) in [("without the key", missing), ("with a wrong key", wrong)] {
        cases.push(Case::new("publishable key", format!("upsert {name}"), move |stage| {
            let call = Call::upsert(upsert(Table::Messages, &[stage.mine.message_row(1, "YQ==")]));
            let seen = Seen::rest(&stage.send(spoil(call))?);
            Ok(seen.effect("messages", stage.messages(&stage.mine)?, vec![]))
        }));
        cases.push(Case::new("publishable key", format!("select {name}"), move |stage: &Stage<'_>| {
            let call = Call::select(&Select::session_owner(&stage.mine.session.as_str().into()));
            let reply = stage.send(spoil(call))?;
            Ok(Seen::rest(&reply).effect("rows shown", reply.rows().len(), 0))
        }));
    }
    cases.into_iter().map(|case| case.means(Verdict::SignedOut, &["401"])).collect()
}
