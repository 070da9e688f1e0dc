//! `keyring.json`

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeS, Serializable, single_shot_seal_with_rng};
use levi_devices::Epoch;
use levi_devices::keyring::{Keyring, SealedKeyring};
use serde::{Deserialize, Serialize};

use super::common::{Owner, Scene};
use super::device_list::List;
use super::{Made, base64, flipped};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) expected: String,
    pub(crate) name: String,
    pub(crate) user_id: String,
    /// The hash of the genesis.
    pub(crate) genesis: String,
    /// The list's rows, for a reader that has the whole protocol.
    pub(crate) rows: Vec<super::Row>,
    /// What comes out of them, for one that opens keyrings only.
    pub(crate) list: List,
    pub(crate) recipient_id: String,
    /// The recipient's X-Wing seed.
    pub(crate) recipient_seed: String,
    /// The column `epoch`.
    pub(crate) epoch: u32,
    pub(crate) enc: String,
    pub(crate) sealed: String,
    /// Where it opens: the secret of each epoch, or null where it is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<Vec<Option<String>>>,
}

pub(crate) fn secrets(keyring: &Keyring, epoch: Epoch) -> Vec<Option<String>> {
    let epochs = (1..=epoch.number()).filter_map(Epoch::new);
    // Secrets made for this file, from a seed that is published with it.
    epochs.map(|epoch| keyring.secret(epoch).map(|secret| base64(secret.expose_bytes()))).collect()
}

fn opens(name: &str, scene: &mut Scene, recipient: &Owner) -> Made<(Case, SealedKeyring)> {
    let sealed = scene.keyring.seal(&scene.list, recipient.id(), &mut scene.rng)?;
    let (enc, text) = sealed.to_wire();
    let case = Case {
        expected: "opens".to_owned(),
        name: name.to_owned(),
        user_id: scene.user.to_string(),
        genesis: base64(scene.list.genesis().as_bytes()),
        rows: super::rows(&scene.rows),
        list: List::of(&scene.list),
        recipient_id: recipient.id().to_string(),
        recipient_seed: base64(recipient.keys.keyring.expose_bytes()),
        epoch: sealed.epoch.number(),
        enc,
        sealed: text,
        secrets: Some(secrets(&scene.keyring, scene.list.epoch())),
    };
    Ok((case, sealed))
}

pub(crate) fn cases() -> Made<Vec<Case>> {
    let mut scene = Scene::new(10);
    let (laptop, paper) = (scene.laptop.clone(), scene.recovery.clone());
    let mut cases = vec![
        opens("the first epoch, for the first device", &mut scene, &laptop)?.0,
        opens("the first epoch, for the recovery key", &mut scene, &paper)?.0,
    ];
    failures(&mut scene, &mut cases)?;
    after_a_recovery(&mut cases)?;
    Ok(cases)
}

/// On the list of the first two cases, in epoch 1.
fn failures(scene: &mut Scene, cases: &mut Vec<Case>) -> Made<()> {
    let laptop = scene.laptop.clone();
    let (base, good) = opens("", scene, &laptop)?;
    let failing = |expected: &str, name: &str| {
        let (expected, name) = (expected.to_owned(), name.to_owned());
        Case { expected, name, secrets: None, ..base.clone() }
    };
    let last = good.sealed.len() - 1;
    let paper = scene.recovery.clone();
    cases.extend([
        Case {
            enc: base.enc.trim_end_matches('=').to_owned() + " ",
            ..failing("not-base64", "a space after enc")
        },
        Case { sealed: "!".to_owned(), ..failing("not-base64", "sealed is not base64") },
        Case { epoch: 2, ..failing("other-epoch", "another epoch in the row than in the list") },
        Case { enc: base64(&good.enc[..1119]), ..failing("truncated", "enc cut off") },
        Case { sealed: base64(&good.sealed[..last]), ..failing("truncated", "sealed cut off") },
        Case { sealed: String::new(), ..failing("truncated", "nothing sealed") },
        Case {
            enc: base64(flipped(&good.enc, 0)),
            ..failing("forged", "a changed bit in the ML-KEM part of enc")
        },
        Case {
            enc: base64(flipped(&good.enc, 1100)),
            ..failing("forged", "a changed bit in the X25519 part of enc")
        },
        Case { sealed: base64(flipped(&good.sealed, 0)), ..failing("forged", "a changed bit in the secret") },
        Case { sealed: base64(flipped(&good.sealed, last)), ..failing("forged", "a changed bit in the tag") },
        Case { recipient_id: paper.id().to_string(), ..failing("forged", "sealed for another member's id") },
        Case {
            recipient_seed: base64(paper.keys.keyring.expose_bytes()),
            ..failing("forged", "sealed to another member's key")
        },
    ]);
    let minted = minted(scene, &laptop, &[7; 32])?;
    cases.push(Case {
        enc: base64(minted.0),
        sealed: base64(minted.1),
        ..failing("uncommitted", "a secret that somebody made up who knows the public key")
    });
    let lost = self::minted(scene, &laptop, &[0; 32])?;
    cases.push(Case {
        enc: base64(lost.0),
        sealed: base64(lost.1),
        ..failing("uncommitted", "zeros for an epoch that the list has")
    });
    Ok(())
}

/// What anybody can seal, made with the HPKE crate alone.
fn minted(scene: &mut Scene, recipient: &Owner, plain: &[u8]) -> Made<(Vec<u8>, Vec<u8>)> {
    let lp = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let info = [
        &b"levi/keyring/v1"[..],
        &lp(scene.user.as_str()),
        scene.list.genesis().as_bytes(),
        &lp(recipient.id().as_str()),
        &scene.list.epoch().number().to_be_bytes(),
    ]
    .concat();
    let public = <XWing as Kem>::PublicKey::from_bytes(recipient.member.keys().keyring())?;
    let (enc, sealed) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        &info,
        plain,
        b"",
        &mut scene.rng,
    )?;
    Ok((enc.to_bytes().to_vec(), sealed))
}

/// Epoch 2 was a thief's and was cut off.
fn after_a_recovery(cases: &mut Vec<Case>) -> Made<()> {
    let mut scene = Scene::new(11);
    let laptop = scene.laptop.clone();
    let before = scene.list.head();
    let ghost = scene.add(&laptop, "ghost");
    scene.remove(&ghost, laptop.id());
    let desktop = Owner::device("desktop", &mut scene.rng);
    let (recovery, secret) = scene.recover_entry(before, &[&laptop], &desktop);
    scene.push(&recovery);
    let mut without = Keyring::first(scene.keyring.secret(Epoch::FIRST).ok_or("epoch 1")?.clone());
    without.push(scene.list.epoch(), secret.clone())?;
    scene.keyring.push(scene.list.epoch(), secret)?;
    cases.push(opens("an epoch that was cut off, with its secret", &mut scene, &desktop)?.0);
    scene.keyring = without;
    cases.push(opens("an epoch that was cut off, its secret lost", &mut scene, &desktop)?.0);
    Ok(())
}
