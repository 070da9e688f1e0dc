//! Keyrings are opened by their member only, and accepted only against the list.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is a failure that names its line")]

mod common;

use common::{Owner, Scene};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_with_rng};
use levi_devices::keyring::{Keyring, KeyringError, SealedKeyring};
use levi_devices::{Epoch, EpochSecret};

/// A laptop, a phone and a removed tablet, in epoch 2.
fn scene() -> (Scene, Owner, Owner) {
    let mut scene = Scene::new(40);
    let laptop = scene.laptop.clone();
    let phone = scene.add(&laptop, "phone");
    let tablet = scene.add(&laptop, "tablet");
    scene.remove(&laptop, tablet.id());
    (scene, phone, tablet)
}

fn seal(scene: &mut Scene, recipient: &Owner) -> Result<SealedKeyring, KeyringError> {
    scene.keyring.seal(&scene.list, recipient.id(), &mut scene.rng)
}

#[test]
fn every_active_member_opens_its_own_keyring_and_nobody_elses() {
    let (mut scene, phone, tablet) = scene();
    let members = [scene.laptop.clone(), scene.recovery.clone(), phone.clone()];
    for member in &members {
        let sealed = seal(&mut scene, member).unwrap();
        let (enc, text) = sealed.to_wire();
        assert_eq!(SealedKeyring::from_wire(sealed.epoch, &enc, &text).unwrap(), sealed);
        let opened = Keyring::open(&sealed, &scene.list, member.id(), &member.keys).unwrap();
        assert_eq!(opened, scene.keyring);
        for other in members.iter().chain([&tablet]).filter(|other| other.id() != member.id()) {
            let with_other_key = Keyring::open(&sealed, &scene.list, member.id(), &other.keys);
            assert_eq!(with_other_key, Err(KeyringError::Forged));
            let under_other_id = Keyring::open(&sealed, &scene.list, other.id(), &member.keys);
            assert_eq!(under_other_id, Err(KeyringError::Forged));
        }
    }
    assert_eq!(seal(&mut scene, &tablet), Err(KeyringError::NotAMember("tablet".into())));
}

#[test]
fn a_keyring_is_bound_to_its_list_and_epoch() {
    let (mut scene, phone, _) = scene();
    let sealed = seal(&mut scene, &phone).unwrap();
    let old = scene.list.clone();
    let laptop = scene.laptop.clone();
    let desktop = scene.add(&laptop, "desktop");
    assert!(
        Keyring::open(&sealed, &scene.list, phone.id(), &phone.keys).is_ok(),
        "an addition changes no epoch"
    );
    scene.remove(&laptop, desktop.id());
    let (found, expected) = (Epoch::new(2).unwrap(), Epoch::new(3).unwrap());
    let stale = Keyring::open(&sealed, &scene.list, phone.id(), &phone.keys);
    assert_eq!(stale, Err(KeyringError::OtherEpoch { found, expected }));
    let early = seal(&mut scene, &phone).unwrap();
    let early = Keyring::open(&early, &old, phone.id(), &phone.keys);
    assert_eq!(early, Err(KeyringError::OtherEpoch { found: expected, expected: found }));
}

/// What somebody makes who knows the member's public key and every format, but no secret of the
/// list.
fn minted(scene: &mut Scene, recipient: &Owner, plain: &[u8]) -> SealedKeyring {
    let epoch = scene.list.epoch();
    let mut info = b"levi/keyring/v1".to_vec();
    info.extend_from_slice(&u32::try_from(scene.user.as_str().len()).unwrap().to_be_bytes());
    info.extend_from_slice(scene.user.as_str().as_bytes());
    info.extend_from_slice(scene.list.genesis().as_bytes());
    info.extend_from_slice(&u32::try_from(recipient.id().as_str().len()).unwrap().to_be_bytes());
    info.extend_from_slice(recipient.id().as_str().as_bytes());
    info.extend_from_slice(&epoch.number().to_be_bytes());
    let public = <XWing as Kem>::PublicKey::from_bytes(recipient.member.keys().keyring()).unwrap();
    let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        &info,
        plain,
        b"",
        &mut scene.rng,
    )
    .unwrap();
    SealedKeyring { epoch, enc: enc.to_bytes().to_vec(), sealed }
}

#[test]
fn minted_and_altered_keyrings_are_refused() {
    let (mut scene, phone, _) = scene();
    let first = Epoch::FIRST;
    let genuine: Vec<u8> = [1, 2]
        .into_iter()
        .flat_map(|epoch| *scene.keyring.secret(Epoch::new(epoch).unwrap()).unwrap().expose_bytes())
        .collect();
    let open = |scene: &Scene, row: &SealedKeyring| Keyring::open(row, &scene.list, phone.id(), &phone.keys);
    // The format as written down, with the genuine secrets, opens.
    let row = minted(&mut scene, &phone, &genuine);
    assert_eq!(open(&scene, &row).unwrap(), scene.keyring);
    // With secrets of somebody else's choice, or with one that a removed device knows, it does not.
    let row = minted(&mut scene, &phone, &[7; 64]);
    assert_eq!(open(&scene, &row), Err(KeyringError::Uncommitted { epoch: first }));
    let row = minted(&mut scene, &phone, &[&genuine[..32], &[7; 32]].concat());
    assert_eq!(open(&scene, &row), Err(KeyringError::Uncommitted { epoch: Epoch::new(2).unwrap() }));
    let row = minted(&mut scene, &phone, &[&[0; 32], &genuine[32..]].concat());
    assert_eq!(open(&scene, &row), Err(KeyringError::Uncommitted { epoch: first }));
    let row = minted(&mut scene, &phone, &genuine[..32]);
    assert_eq!(open(&scene, &row), Err(KeyringError::Truncated));

    let good = seal(&mut scene, &phone).unwrap();
    for at in (0..good.enc.len()).step_by(97) {
        let mut row = good.clone();
        row.enc[at] ^= 1;
        assert_eq!(open(&scene, &row), Err(KeyringError::Forged), "enc {at}");
    }
    for at in 0..good.sealed.len() {
        let mut row = good.clone();
        row.sealed[at] ^= 1;
        assert_eq!(open(&scene, &row), Err(KeyringError::Forged), "sealed {at}");
    }
}

#[test]
fn every_member_makes_the_same_row_for_another_one() {
    let (scene, phone, _) = scene();
    let row = scene.keyring.seal_reproducibly(&scene.list, phone.id()).unwrap();
    let opened = Keyring::open(&row, &scene.list, phone.id(), &phone.keys).unwrap();
    assert_eq!(opened, scene.keyring);
    // The phone makes it, too, and recognises it. Any other row is not it.
    assert_eq!(opened.seal_reproducibly(&scene.list, phone.id()).unwrap(), row);
    let is_it = |row: &SealedKeyring| opened.is_sealed_in(row, &scene.list, phone.id()).unwrap();
    assert!(is_it(&row));
    for at in [0, 500, 1119] {
        let mut altered = row.clone();
        altered.enc[at] ^= 1;
        assert!(!is_it(&altered), "enc {at}");
    }
    let mut altered = row.clone();
    altered.sealed[3] ^= 1;
    assert!(!is_it(&altered));
    let recovery = scene.list.recovery().unwrap().id().clone();
    let others = opened.seal_reproducibly(&scene.list, &recovery).unwrap();
    assert!(others.enc != row.enc && !is_it(&others), "each member's has keys of its own");
}

#[test]
fn a_secret_of_another_epoch_cannot_be_pushed_over_an_earlier_one() {
    let (mut scene, _, _) = scene();
    let secret = EpochSecret::generate(&mut scene.rng);
    for number in [1, 2, 1001] {
        let epoch = Epoch::new(number).unwrap();
        assert_eq!(scene.keyring.push(epoch, secret.clone()), Err(KeyringError::NotLater { epoch }));
    }
    assert_eq!(format!("{:?}", scene.keyring), "Keyring(2 epochs)");
}
