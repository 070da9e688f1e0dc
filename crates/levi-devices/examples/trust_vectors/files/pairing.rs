//! `pairing.json`

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20::ChaCha20Rng;
use hpke::rand_core::{TryCryptoRng, TryRng};
use levi_devices::entry::Entry;
use levi_devices::pairing::{Invitation, Join, PairingCode};
use levi_types::UserId;
use serde::{Deserialize, Serialize};

use super::common::{Owner, Scene};
use super::{Made, base64};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) user_id: String,
    /// What the person types.
    pub(crate) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages: Option<Messages>,
}

/// Where the code parses: the row, and what is in it. `request` and `answer` may be good or bad.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Messages {
    pub(crate) id: String,
    pub(crate) request: String,
    pub(crate) answer: String,
    /// The member in the request, as encoded in an entry.
    pub(crate) member: String,
    pub(crate) fresh: String,
    pub(crate) genesis: String,
    pub(crate) head: String,
    pub(crate) slot: u64,
    /// The entry in the answer.
    pub(crate) entry: String,
    /// The Ed25519 seed of the new device, and its cosignature over the entry.
    pub(crate) ed25519_seed: String,
    pub(crate) cosignature: String,
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut scene = Scene::new(12);
    let (good, other) = (exchange(&mut scene, "a request and its answer")?, exchange(&mut scene, "")?);
    let (Some(messages), Some(others)) = (&good.messages, &other.messages) else {
        return Err("messages".into());
    };
    let failing = |expected: &str, name: &str, change: &dyn Fn(&mut Messages)| {
        let mut messages = messages.clone();
        change(&mut messages);
        Case {
            expected: expected.to_owned(),
            name: name.to_owned(),
            messages: Some(messages),
            ..good.clone()
        }
    };
    let mut cases = vec![
        good.clone(),
        failing("request-not-base64", "a request that is not base64", &|row| row.request = "!".to_owned()),
        failing("request-forged", "a request cut off", &|row| row.request.truncate(1200)),
        failing("request-forged", "no request", &|row| row.request.clear()),
        failing("request-forged", "a request under another code", &|row| {
            row.request.clone_from(&others.request)
        }),
        failing("request-forged", "the answer in place of the request", &|row| {
            row.request.clone_from(&messages.answer);
        }),
        failing("answer-forged", "the request in place of the answer", &|row| {
            row.answer.clone_from(&messages.request);
        }),
        failing("answer-forged", "an answer under another code", &|row| {
            row.answer.clone_from(&others.answer)
        }),
        failing("answer-not-base64", "an answer that is not base64", &|row| row.answer.push('=')),
        Case { user_id: "other".to_owned(), ..failing("request-forged", "another user", &|_| {}) },
    ];
    codes(&good, &mut cases);
    let fresh = messages.fresh.as_str();
    for (expected, name, row) in under_the_code(&mut scene, &good, fresh)? {
        cases.push(failing(expected, name, &|messages| match &row {
            Row::Request(request) => messages.request.clone_from(request),
            Row::Answer(answer) => messages.answer.clone_from(answer),
        }));
    }
    Ok(cases)
}

/// A column of a row.
enum Row {
    Request(String),
    Answer(String),
}

/// Messages that somebody made who has the code, and that the other side refuses.
fn under_the_code(
    scene: &mut Scene,
    good: &Case,
    fresh: &str,
) -> Made<Vec<(&'static str, &'static str, Row)>> {
    let (user, laptop, now_ms) = (scene.user.clone(), scene.laptop.clone(), 1_700_000_000_000);
    let code = PairingCode::parse(&good.code)?;
    let invitation = || Invitation::with_code(&user, code.clone(), now_ms);
    let (phone, paper) = (Owner::device("phone", &mut scene.rng), Owner::recovery("paper 2", &mut scene.rng));
    let recovery = Join::new(&user, &code, paper.member, &mut scene.rng).request(&mut scene.rng)?;
    // Another device that asks with the same random bytes, and one that asks with others.
    let fresh = STANDARD.decode(fresh)?;
    let same = Join::new(&user, &code, phone.member.clone(), &mut Replay(fresh));
    let other = Join::new(&user, &code, phone.member, &mut scene.rng);
    let mut stamp = scene.stamp();
    stamp.time_ms = now_ms;
    let mut answer = |join: &Join| -> Made<String> {
        let asked = invitation().open_request(&join.request(&mut scene.rng)?, now_ms)?;
        let signer = (laptop.id(), &laptop.keys);
        Ok(invitation().answer(asked, &scene.list, signer, stamp, &mut scene.rng)?.0)
    };
    let (other_entry, not_fresh) = (answer(&same)?, answer(&other)?);
    let asked = invitation().open_request(&same.request(&mut scene.rng)?, now_ms)?;
    let declined = invitation().decline(&asked, &mut scene.rng)?;
    Ok(vec![
        ("request-malformed", "a recovery key that asks to be added", Row::Request(recovery)),
        ("answer-other-entry", "an answer that adds another device", Row::Answer(other_entry)),
        ("answer-not-fresh", "an answer to another request", Row::Answer(not_fresh)),
        ("answer-declined", "a no", Row::Answer(declined)),
    ])
}

/// Draws these bytes.
struct Replay(Vec<u8>);

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        target.iter_mut().zip(self.0.drain(..)).for_each(|(byte, drawn)| *byte = drawn);
        Ok(())
    }
}

impl TryCryptoRng for Replay {}

fn exchange(scene: &mut Scene, name: &str) -> Made<Case> {
    let now_ms = 1_700_000_000_000;
    let phone = Owner::device("phone", &mut scene.rng);
    let invitation = Invitation::new(&scene.user, now_ms, &mut scene.rng);
    let text = invitation.expose_code().expose().to_owned();
    let join = new_join(&scene.user, &text, &phone, &mut scene.rng)?;
    let (id, request) = (join.row_id(), join.request(&mut scene.rng)?);
    let asked = invitation.open_request(&request, now_ms)?;
    let laptop = scene.laptop.clone();
    let fresh = base64(asked.fresh());
    let mut stamp = scene.stamp();
    stamp.time_ms = now_ms;
    let signer = (laptop.id(), &laptop.keys);
    let (answer, pending) = invitation.answer(asked, &scene.list, signer, stamp, &mut scene.rng)?;
    let opened = join.open_answer(&answer)?;
    let cosignature = join.cosign(&opened, &scene.rows, &phone.keys)?;
    pending.finish(&scene.list, &cosignature.to_base64())?;
    let messages = Messages {
        id,
        request,
        answer,
        member: base64(member_bytes(opened.entry())?),
        fresh,
        genesis: base64(opened.genesis().as_bytes()),
        head: base64(opened.head().as_bytes()),
        slot: opened.slot(),
        entry: base64(opened.entry()),
        // A key made for this file, from a seed that is published with it.
        ed25519_seed: base64(phone.keys.signing.expose_bytes()),
        cosignature: cosignature.to_base64(),
    };
    Ok(Case {
        expected: "pairs".to_owned(),
        name: name.to_owned(),
        user_id: scene.user.to_string(),
        code: text,
        messages: Some(messages),
    })
}

fn new_join(user: &UserId, text: &str, phone: &Owner, rng: &mut ChaCha20Rng) -> Made<Join> {
    Ok(Join::new(user, &PairingCode::parse(text)?, phone.member.clone(), rng))
}

/// The member at the end of an entry of kind 2: it begins after the fields before the body.
fn member_bytes(entry: &[u8]) -> Made<Vec<u8>> {
    let header = Entry::decode(entry)?.header;
    let ids = header.user_id.as_str().len() + header.signer_id.as_str().len();
    let start = "levi/device-list/v1".len() + 1 + 8 + 32 + 4 + 8 + 4 + ids;
    Ok(entry[start..].to_vec())
}

fn codes(good: &Case, cases: &mut Vec<Case>) {
    let text = good.code.clone();
    let mut add = |expected: &str, name: &str, code: String| {
        let messages = (expected == "pairs").then(|| good.messages.clone()).flatten();
        let (expected, name) = (expected.to_owned(), name.to_owned());
        cases.push(Case { expected, name, code, messages, ..good.clone() });
    };
    add("pairs", "a code in lower case with spaces", text.to_lowercase().replace('-', " "));
    add("pairs", "a code without hyphens", text.replace('-', ""));
    let other = if text.starts_with('7') { "8" } else { "7" };
    add("code-checksum", "a wrong character in the code", format!("{other}{}", &text[1..]));
    add("code-character", "a U in the code", format!("U{}", &text[1..]));
    add("code-group-length", "a group of three in the code", text[..23].to_owned());
    add("code-length", "a group too few in the code", text[..19].to_owned());
    add("code-length", "no code", String::new());
}
