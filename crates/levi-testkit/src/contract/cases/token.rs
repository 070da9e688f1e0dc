//! Tokens that are missing, broken, expired: Levi pauses, asks for a fresh one, and uses up no attempt.

use levi_transport::{Select, Table, Verdict};

use crate::contract::case::{Case, Meaning, Seen};
use crate::contract::client::Call;
use crate::contract::stage::{Stage, upsert};
use crate::contract::target::Server;
use crate::contract::token::with_broken_signature;
use crate::contract::trouble::Trouble;

type Spoil = fn(Call, &Stage<'_>) -> Call;

const ANON_ON_LITE: &str =
    "it takes a token that is no JWT for none at all, and reads as `anon` find no rows";
const GRANTS_ON_LITE: &str = "it grants `anon` what the migration revokes; the policies still show no row";

pub(super) fn cases() -> Vec<Case> {
    let expired: Spoil = |call, stage| call.token(stage.target.expired_token.as_deref().unwrap_or_default());
    let forged: Spoil = |call, stage| call.token(&with_broken_signature(&stage.mine.user.access_token));
    let malformed: Spoil = |call, _| call.token("not-a-token");
    let missing: Spoil = |call, _| call.no_token();
    let key: Spoil = |call, stage| call.token(&stage.target.publishable_key);

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
    Case::new("token", format!("{name}: upsert"), move |stage| {
        let call = Call::upsert(upsert(Table::Messages, &[stage.mine.message_row(1, "YQ==")]));
        let seen = Seen::rest(&stage.send_as_is(spoil(call, stage))?);
        Ok(seen.effect("messages", stage.messages(&stage.mine)?, vec![]))
    })
}

fn read(name: &str, spoil: Spoil) -> Case {
    Case::new("token", format!("{name}: select"), move |stage| -> Result<Seen, Trouble> {
        let call = Call::select(&Select::session_owner(&stage.mine.session.as_str().into()));
        let reply = stage.send_as_is(spoil(call, stage))?;
        Ok(Seen::rest(&reply).effect("rows shown", reply.rows().len(), 0))
    })
}
