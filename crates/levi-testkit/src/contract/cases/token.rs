//! Missing, invalid and expired tokens, on which Levi pauses and refreshes without using up an
//! attempt.

use levi_transport::{Select, Table, Verdict};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::environment::{Environment, upsert};
use crate::contract::error::ContractError;
use crate::contract::target::Server;
use crate::contract::token::with_broken_signature;

type Spoil = fn(Call, &Environment<'_>) -> Call;

const ANON_ON_LITE: &str =
    "it takes a token that is no JWT for none at all, and reads as `anon` find no rows";
const GRANTS_ON_LITE: &str = "it grants `anon` what the migration revokes; the policies still show no row";

pub(super) fn cases() -> Vec<Case> {
    let expired: Spoil = |call, env| call.token(env.target.expired_token.as_deref().unwrap_or_default());
    let forged: Spoil = |call, env| call.token(&with_broken_signature(&env.mine.user.access_token));
    let malformed: Spoil = |call, _| call.token("not-a-token");
    let missing: Spoil = |call, _| call.no_token();
    let key: Spoil = |call, env| call.token(&env.target.publishable_key);

    let all = |name: &str, spoil: Spoil, codes| {
        [
            write(name, spoil).means(Verdict::SignedOut, codes),
            read(name, spoil).means(Verdict::SignedOut, codes),
        ]
    };
    let mut cases = Vec::new();
    cases
        .extend(all("an expired token", expired, &["PGRST303", "PGRST301"]).map(Case::with_an_expired_token));
    cases.extend(all("a token with a broken signature", forged, &["PGRST301"]));
    for (name, spoil) in [("a token that is no JWT", malformed), ("the publishable key as token", key)] {
        let [write, read] = all(name, spoil, &["PGRST301"]);
        cases.push(write.differs(
            Server::Lite,
            (Meaning::Refused(Verdict::SignedOut), "42501"),
            None,
            ANON_ON_LITE,
        ));
        cases.push(read.differs(Server::Lite, (Meaning::Accepted, "200"), None, ANON_ON_LITE));
    }
    let [write, read] = all("no token", missing, &["42501"]);
    cases.push(write);
    cases.push(read.differs(Server::Lite, (Meaning::Accepted, "200"), None, GRANTS_ON_LITE));
    cases
}

fn write(name: &str, spoil: Spoil) -> Case {
    Case::new("token", format!("{name}: upsert"), move |env| {
        let call = Call::upsert(upsert(Table::Messages, &[env.mine.message_row(1, "YQ==")]));
        let seen = Seen::rest(&env.send_as_is(spoil(call, env))?);
        Ok(seen.effect("messages", env.messages(&env.mine)?, vec![]))
    })
}

fn read(name: &str, spoil: Spoil) -> Case {
    Case::new("token", format!("{name}: select"), move |env| -> Result<Seen, ContractError> {
        let call = Call::select(&Select::session_owner(&env.mine.session.as_str().into()));
        let reply = env.send_as_is(spoil(call, env))?;
        Ok(Seen::rest(&reply).effect("rows shown", reply.rows().len(), 0))
    })
}
