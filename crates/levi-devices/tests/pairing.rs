//! Pairing, and what an attacker without the code can do about it.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

mod common;

use std::convert::Infallible;

use common::{Owner, Scene};
use levi_devices::list::Refusal;
use levi_devices::pairing::{Invitation, Join, PairingCode, PairingCodeError, PairingError, VALID_FOR_MS};
use levi_types::UserId;
use rand_core::{TryCryptoRng, TryRng};

const NOW: i64 = 1_700_000_000_000;

struct Pairing {
    scene: Scene,
    phone: Owner,
    invitation: Invitation,
    join: Join,
    request: String,
}

fn begin(seed: u8) -> Pairing {
    let mut scene = Scene::new(seed);
    let phone = Owner::device("phone", &mut scene.rng);
    let invitation = Invitation::new(&scene.user, NOW, &mut scene.rng);
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let join = Join::new(&scene.user, &code, phone.member.clone(), &mut scene.rng);
    assert_eq!(join.row_id(), invitation.row_id());
    let request = join.request(&mut scene.rng).unwrap();
    Pairing { scene, phone, invitation, join, request }
}

#[test]
fn a_new_device_joins_with_one_code() {
    let Pairing { mut scene, phone, invitation, join, request } = begin(50);
    let asked = invitation.open_request(&request, NOW + VALID_FOR_MS - 1).unwrap();
    assert_eq!(asked.member().fingerprint(), phone.member.fingerprint());
    let laptop = scene.laptop.clone();
    let stamp = scene.stamp();
    let (answer, pending) =
        invitation.answer(asked, &scene.list, (laptop.id(), &laptop.keys), stamp, &mut scene.rng).unwrap();
    let answer = join.open_answer(&answer).unwrap();
    let cosignature = join.cosign(&answer, &scene.rows, &phone.keys).unwrap().to_base64();
    assert_eq!(join.finish(&answer, &scene.rows), Err(PairingError::NotAdded));
    let signed = pending.finish(&scene.list, &cosignature).unwrap();
    scene.push(&signed);
    assert_eq!(join.finish(&answer, &scene.rows).unwrap(), scene.list);
}

#[test]
fn codes_expire_and_belong_to_one_user() {
    let Pairing { mut scene, invitation, request, .. } = begin(51);
    for now in [NOW + VALID_FOR_MS, NOW - 1, i64::MAX, i64::MIN] {
        assert_eq!(invitation.open_request(&request, now), Err(PairingError::Expired), "{now}");
    }
    let asked = invitation.open_request(&request, NOW).unwrap();
    let other = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let elsewhere = Join::new(&UserId::from("other"), &other, asked.member().clone(), &mut scene.rng);
    assert_ne!(elsewhere.row_id(), invitation.row_id());
    let request = elsewhere.request(&mut scene.rng).unwrap();
    assert_eq!(invitation.open_request(&request, NOW), Err(PairingError::Forged));
    let next = Invitation::new(&scene.user, NOW, &mut scene.rng);
    assert_ne!(next.row_id(), invitation.row_id());
    assert!(next.open_request(&begin(51).request, NOW).is_err());
}

#[test]
fn altered_swapped_and_replayed_messages_are_refused() {
    let Pairing { mut scene, phone, invitation, join, request } = begin(52);
    assert_eq!(invitation.open_request("!", NOW), Err(PairingError::NotBase64));
    assert_eq!(invitation.open_request("", NOW), Err(PairingError::Forged));
    let flipped = |text: &str, at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    for at in (0..request.len() - 4).step_by(31) {
        let altered = flipped(&request, at);
        let refused =
            altered == request || invitation.open_request(&altered, NOW) == Err(PairingError::Forged);
        assert!(refused, "{at}");
    }
    // A request in place of an answer.
    assert_eq!(join.open_answer(&request), Err(PairingError::Forged));

    // An answer to an earlier request under the same code.
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let again = Join::new(&scene.user, &code, phone.member.clone(), &mut scene.rng);
    let asked = invitation.open_request(&request, NOW).unwrap();
    let laptop = scene.laptop.clone();
    let signer = (laptop.id(), &laptop.keys);
    let (answer, pending) =
        invitation.answer(asked, &scene.list, signer, scene.stamp(), &mut scene.rng).unwrap();
    assert_eq!(again.open_answer(&answer), Err(PairingError::NotFresh));
    let other = Owner::device("phone", &mut scene.rng);
    let swapped = Join::new(&scene.user, &code, other.member, &mut scene.rng);
    assert!(swapped.open_answer(&answer).is_err());

    // Somebody else's cosignature, or none.
    let answer = join.open_answer(&answer).unwrap();
    let forged = scene.recovery.keys.sign(answer.entry()).unwrap().to_base64();
    for column in ["", "AAAA", &forged] {
        let refused = pending.finish(&scene.list, column);
        assert_eq!(refused, Err(PairingError::Refused(Refusal::Cosignature)), "{column:?}");
    }
}

#[test]
fn a_new_device_cosigns_no_entry_that_adds_somebody_else() {
    let Pairing { mut scene, invitation, request, .. } = begin(55);
    let code = PairingCode::parse(invitation.expose_code().expose()).unwrap();
    let asked = invitation.open_request(&request, NOW).unwrap();
    // Another device with the code that draws the same fresh bytes.
    let other = Owner::device("phone", &mut scene.rng);
    let join = Join::new(&scene.user, &code, other.member, &mut Repeat(*asked.fresh()));
    let laptop = scene.laptop.clone();
    let signer = (laptop.id(), &laptop.keys);
    let (answer, _) = invitation.answer(asked, &scene.list, signer, scene.stamp(), &mut scene.rng).unwrap();
    assert_eq!(join.open_answer(&answer), Err(PairingError::OtherEntry));
}

#[test]
fn a_new_device_cosigns_no_list_but_the_one_of_the_answer() {
    let Pairing { mut scene, phone, invitation, join, request } = begin(53);
    let laptop = scene.laptop.clone();
    scene.add(&laptop, "tablet");
    let asked = invitation.open_request(&request, NOW).unwrap();
    let signer = (laptop.id(), &laptop.keys);
    let (answer, pending) =
        invitation.answer(asked, &scene.list, signer, scene.stamp(), &mut scene.rng).unwrap();
    let answer = join.open_answer(&answer).unwrap();
    assert_eq!(join.cosign(&answer, &scene.rows[..1], &phone.keys), Err(PairingError::OtherList));
    assert!(matches!(join.cosign(&answer, &[], &phone.keys), Err(PairingError::Read(_))));
    let cosignature = join.cosign(&answer, &scene.rows, &phone.keys).unwrap().to_base64();
    // Another device was faster.
    scene.add(&laptop, "desktop");
    assert_eq!(join.cosign(&answer, &scene.rows, &phone.keys), Err(PairingError::ListChanged));
    let late = pending.finish(&scene.list, &cosignature);
    assert_eq!(late, Err(PairingError::ListChanged));
}

#[test]
fn a_code_says_what_is_wrong_with_it() {
    let invitation = begin(54).invitation;
    let text = invitation.expose_code();
    let text = text.expose();
    let code = PairingCode::parse(text).unwrap();
    assert_eq!(PairingCode::parse(&text.to_lowercase().replace('-', " ")), Ok(code.clone()));
    assert_eq!(PairingCode::parse(&text.replace('-', "")), Ok(code));
    assert_eq!(PairingCode::parse(""), Err(PairingCodeError::Length { characters: 0 }));
    assert_eq!(
        PairingCode::parse(&text[..23]),
        Err(PairingCodeError::GroupLength { group: 5, characters: 3 })
    );
    assert_eq!(PairingCode::parse(&text[..19]), Err(PairingCodeError::Length { characters: 16 }));
    assert_eq!(
        PairingCode::parse(&format!("{}U", &text[..23])),
        Err(PairingCodeError::Character { group: 5 })
    );
    // Every wrong character and every exchange of two is noticed.
    let characters: Vec<char> = text.chars().filter(|character| *character != '-').collect();
    for at in 0..20 {
        for other in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|other| *other != characters[at]) {
            let mut typed = characters.clone();
            typed[at] = other;
            let typed: String = typed.into_iter().collect();
            assert_eq!(PairingCode::parse(&typed), Err(PairingCodeError::Checksum), "{at} {other}");
        }
        for with in at + 1..20 {
            let mut typed = characters.clone();
            typed.swap(at, with);
            let same = typed == characters;
            let typed: String = typed.into_iter().collect();
            assert_eq!(PairingCode::parse(&typed).is_ok(), same, "{at} and {with}");
        }
    }
}

/// Random bytes that are known.
struct Repeat([u8; 16]);

impl TryRng for Repeat {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        target.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Repeat {}
