//! A device that shows a pairing code, and one that takes it in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_devices::Epoch;
use levi_devices::draft::Stamp;
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::pairing::{Invitation, Join, PairingCode};
use levi_types::UserId;
use serde::{Deserialize, Serialize};

use crate::files::common::{Owner, Scene, rng};
use crate::files::device_list::List;
use crate::files::{Row, rows};
use crate::{Device, KeyringRow, list_rows, receive, send};

#[derive(Serialize, Deserialize)]
struct Shown {
    user_id: String,
    code: String,
    id: String,
}

#[derive(Serialize, Deserialize)]
struct Requested {
    id: String,
    request: String,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    answer: String,
    rows: Vec<Row>,
    fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct Cosigned {
    cosignature: String,
}

#[derive(Serialize, Deserialize)]
struct Added {
    rows: Vec<Row>,
    keyring: KeyringRow,
    secret: String,
    list: List,
}

#[derive(Serialize)]
struct Pinned {
    list: List,
    /// Of the current epoch.
    secret: String,
}

pub(crate) fn invite() {
    let mut scene = Scene::new(41);
    let laptop = scene.laptop.clone();
    let old = scene.add(&laptop, "old phone");
    scene.remove(&laptop, old.id());
    let invitation = Invitation::new(&scene.user, 0, &mut scene.rng);
    // Exposed to be shown.
    let code = invitation.expose_code().expose().to_owned();
    send(&Shown { user_id: scene.user.to_string(), code, id: invitation.row_id() });

    let requested: Requested = receive();
    let asked = invitation.open_request(&requested.request, 0).unwrap();
    let (id, fingerprint) = (asked.member().id().clone(), asked.member().fingerprint().to_string());
    let stamp = Stamp { time_ms: 0, ..scene.stamp() };
    let signer = (laptop.id(), &laptop.keys);
    let (answer, pending) = invitation.answer(asked, &scene.list, signer, stamp, &mut scene.rng).unwrap();
    send(&Answered { answer, rows: rows(&scene.rows), fingerprint });

    let cosigned: Cosigned = receive();
    scene.push(&pending.finish(&scene.list, &cosigned.cosignature).unwrap());
    let sealed = scene.keyring.seal(&scene.list, &id, &mut scene.rng).unwrap();
    let (enc, ciphertext) = sealed.to_wire();
    let keyring = KeyringRow { epoch: sealed.epoch.number(), enc, sealed: ciphertext };
    // Exposed to be compared; it protects nothing.
    let secret = STANDARD.encode(scene.keyring.secret(scene.list.epoch()).unwrap().expose_bytes());
    send(&Added { rows: rows(&scene.rows), keyring, secret, list: List::of(&scene.list) });
}

#[derive(Deserialize)]
struct ToJoin {
    device: Device,
    user_id: String,
    code: String,
}

pub(crate) fn join() {
    let task: ToJoin = receive();
    let mut rng = rng(42);
    let Owner { keys, member } = task.device.owner();
    let code = PairingCode::parse(&task.code).unwrap();
    let join = Join::new(&UserId::from(task.user_id.as_str()), &code, member.clone(), &mut rng);
    let request = join.request(&mut rng).unwrap();
    send(&Requested { id: join.row_id(), request, fingerprint: member.fingerprint().to_string() });

    let answered: Answered = receive();
    let answer = join.open_answer(&answered.answer).unwrap();
    let cosignature = join.cosign(&answer, &list_rows(answered.rows), &keys).unwrap();
    send(&Cosigned { cosignature: STANDARD.encode(cosignature.as_bytes()) });

    let added: Added = receive();
    let list = join.finish(&answer, &list_rows(added.rows)).unwrap();
    let row = added.keyring;
    let row = SealedKeyring::from_wire(Epoch::new(row.epoch).unwrap(), &row.enc, &row.sealed).unwrap();
    let keyring = Keyring::open(&row, &list, member.id(), &keys).unwrap();
    let last = keyring.secret(list.epoch()).unwrap();
    // Exposed to be compared; it protects nothing.
    send(&Pinned { secret: STANDARD.encode(last.expose_bytes()), list: List::of(&list) });
}
