//! A list, a keyring and messages.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi_crypto::SessionSecret;
use levi_crypto::message_v2::{
    EpochMessageKey, Form, MessagePosition, Order, Padding, nonce_from_wire, nonce_to_wire, open, seal,
};
use levi_devices::Epoch;
use levi_devices::keyring::{Keyring, SealedKeyring};
use levi_devices::list::DeviceList;
use levi_types::{DeviceId, SessionId, UserId};
use serde::{Deserialize, Serialize};

use crate::files::common::{Owner, Scene};
use crate::files::device_list::List;
use crate::files::{Made, Row, rows};
use crate::{Device, KeyringRow, hash, list_rows, receive, send};

#[derive(Deserialize)]
struct Task {
    reader: Device,
    session_id: String,
    contents: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    user_id: String,
    genesis: String,
    rows: Vec<Row>,
    keyring: KeyringRow,
    session_id: String,
    session_secret: String,
    messages: Vec<MessageRow>,
    list: List,
}

#[derive(Serialize, Deserialize)]
struct MessageRow {
    sequence_number: String,
    content_encrypted: String,
    content_nonce: String,
}

pub(crate) fn write() {
    let task: Task = receive();
    let reader = task.reader.owner();
    let mut scene = every_kind(&reader);
    let session_id = SessionId::from(task.session_id.as_str());
    let secret = SessionSecret::generate(&mut scene.rng);
    let messages = messages(&mut scene, &secret, &session_id, &task.contents);
    let sealed = scene.keyring.seal(&scene.list, reader.id(), &mut scene.rng).unwrap();
    let (enc, ciphertext) = sealed.to_wire();
    send(&Written {
        user_id: scene.user.to_string(),
        genesis: STANDARD.encode(scene.list.genesis().as_bytes()),
        rows: rows(&scene.rows),
        keyring: KeyringRow { epoch: sealed.epoch.number(), enc, sealed: ciphertext },
        session_id: task.session_id,
        // Exposed to be compared with what the other program reads; it protects nothing.
        session_secret: secret.expose().to_owned(),
        messages,
        list: List::of(&scene.list),
    });
}

/// Genesis, two additions, a removal, a new recovery key, and a recovery that cuts off a thief's
/// addition.
fn every_kind(reader: &Owner) -> Scene {
    let mut scene = Scene::new(40);
    let laptop = scene.laptop.clone();
    scene.push(&scene.add_entry(&laptop, reader));
    let lost = scene.add(&laptop, "lost");
    scene.remove(&laptop, lost.id());
    let paper = Owner::recovery("new paper", &mut scene.rng);
    let (signed, secret) = scene.new_recovery_entry(&paper);
    scene.push(&signed);
    scene.keyring.push(scene.list.epoch(), secret).unwrap();
    scene.recovery = paper;
    let before = scene.list.head();
    scene.add(&laptop, "thief");
    let new = Owner::device("new laptop", &mut scene.rng);
    let (signed, secret) = scene.recover_entry(before, &[&laptop], &new);
    scene.push(&signed);
    scene.keyring.push(scene.list.epoch(), secret).unwrap();
    scene
}

/// The contents in the epochs of the list, one after the other, with and without padding.
fn messages(
    scene: &mut Scene,
    secret: &SessionSecret,
    session_id: &SessionId,
    contents: &[String],
) -> Vec<MessageRow> {
    let epochs = usize::try_from(scene.list.epoch().number()).unwrap();
    let mut rows = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let epoch = Epoch::new(u32::try_from(1 + index * epochs / contents.len()).unwrap()).unwrap();
        let key =
            EpochMessageKey::derive(secret, session_id, epoch, scene.keyring.secret(epoch).unwrap()).unwrap();
        let sequence_number = i64::try_from(index).unwrap();
        let form = match index % 2 {
            0 => Form { padding: Padding::None, order: Order::Rising },
            _ => Form { padding: Padding::Padme, order: Order::Late },
        };
        let sealed =
            seal(&key, MessagePosition { session_id, sequence_number }, content, form, &mut scene.rng)
                .unwrap();
        rows.push(MessageRow {
            sequence_number: sequence_number.to_string(),
            content_encrypted: STANDARD.encode(&sealed.ciphertext),
            content_nonce: nonce_to_wire(epoch, &sealed.nonce),
        });
    }
    rows
}

#[derive(Deserialize)]
struct ToRead {
    reader: Device,
    #[serde(flatten)]
    written: Written,
}

#[derive(Serialize)]
struct Found {
    list: List,
    contents: Vec<String>,
    late: Vec<bool>,
}

#[derive(Serialize)]
struct Refused {
    refused: String,
}

pub(crate) fn read() {
    for line in io::stdin().lines() {
        match opened(serde_json::from_str(&line.unwrap()).unwrap()) {
            Ok(found) => send(&found),
            Err(error) => send(&Refused { refused: error.to_string() }),
        }
    }
}

fn opened(ToRead { reader, written }: ToRead) -> Made<Found> {
    let user = UserId::from(written.user_id.as_str());
    let list = DeviceList::read(&user, hash(&written.genesis), &list_rows(written.rows))?;
    let row = &written.keyring;
    let row = SealedKeyring::from_wire(Epoch::new(row.epoch).unwrap(), &row.enc, &row.sealed)?;
    let keyring = Keyring::open(&row, &list, &DeviceId::from(reader.id.as_str()), &reader.owner().keys)?;
    let secret = SessionSecret::parse(&written.session_secret)?;
    let session_id = SessionId::from(written.session_id.as_str());
    let mut found = Found { contents: Vec::new(), late: Vec::new(), list: List::of(&list) };
    for message in &written.messages {
        let wire = nonce_from_wire(&message.content_nonce)?;
        let epoch_secret = keyring.secret(wire.epoch).ok_or("the keyring lacks the epoch")?;
        let key = EpochMessageKey::derive(&secret, &session_id, wire.epoch, epoch_secret)?;
        let sequence_number = message.sequence_number.parse()?;
        let position = MessagePosition { session_id: &session_id, sequence_number };
        let opened = open(&key, position, &STANDARD.decode(&message.content_encrypted)?, &wire.nonce)?;
        found.contents.push(opened.content);
        found.late.push(opened.order == Order::Late);
    }
    Ok(found)
}
