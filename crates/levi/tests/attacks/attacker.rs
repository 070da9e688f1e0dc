//! What the attackers have and do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use levi::core::SecretsCache;
use levi::crypto::envelope::{self, Route};
use levi::crypto::message_v2::{self, EpochMessageKey, Form, MessagePosition};
use levi::devices::entry::{ListRow, SignedEntry};
use levi::devices::keyring::{Keyring, SealedKeyring};
use levi::devices::list::DeviceList;
use levi::devices::{Epoch, EpochSecret, Member, MemberKeys, MemberType};
use levi::transport::rows::DeviceRow;
use levi::transport::rows::{
    DeviceListRow, KeyringRow, MessageBatch, SecretRow, encode_message_row, encode_message_row_as, upsert_of,
};
use levi::transport::{Supabase as _, Table};
use levi::{DeviceId, DevicePrivateKey, Reader, SessionId, SessionSecret, UserId};
use levi_testkit::fixtures::uuid_of;
use levi_testkit::supabase::StoredMessage;
use std::sync::Arc;

use super::Server;
use super::devices::Device;
use super::world::World;

/// A device of the attacker.
pub(crate) struct Ghost {
    pub(crate) id: DeviceId,
    pub(crate) keys: MemberKeys,
}

impl Ghost {
    /// Writes an active row of `devices` with the server's secret key.
    pub(crate) fn by_the_server(world: &World) -> Self {
        let ghost = Self::unregistered("ghost");
        world.server.seed(upsert_of(&[ghost.row(&world.user_id)])).unwrap();
        ghost
    }

    /// As [`by_the_server`](Self::by_the_server), with a stolen token.
    pub(crate) async fn by_a_token(world: &World) -> Self {
        let ghost = Self::unregistered("ghost");
        let token = world.auth.token();
        world.supabase().upsert(&token, upsert_of(&[ghost.row(&world.user_id)])).await.unwrap();
        ghost
    }

    pub(crate) fn unregistered(name: &str) -> Self {
        let keys = MemberKeys::generate(&mut rand::rng());
        Self { id: uuid_of("device", name).as_str().into(), keys }
    }

    /// As a member of a list.
    pub(crate) fn member(&self) -> Member {
        let keys = self.keys.public_keys().unwrap();
        Member::new(self.id.clone(), MemberType::Device, "ghost", keys).unwrap()
    }

    /// Puts the ghost's key into the table's row of `device`.
    pub(crate) fn exchange_key_of(&self, world: &World, device: &Device) {
        let row = DeviceRow {
            public_key: Some(self.keys.envelope.public_key().to_base64()),
            ..DeviceRow::new(device.id.clone(), world.user_id.clone(), "swapped", "desktop")
        };
        world.server.seed(upsert_of(&[row])).unwrap();
    }

    pub(crate) fn row(&self, user: &UserId) -> DeviceRow {
        DeviceRow {
            public_key: Some(self.keys.envelope.public_key().to_base64()),
            ..DeviceRow::new(self.id.clone(), user.clone(), "ghost", "desktop")
        }
    }

    /// Whether anybody sealed a secret for the ghost.
    pub(crate) fn is_given_anything(&self, world: &World) -> bool {
        let secrets: Vec<SecretRow> = rows(&world.server, Table::Secrets);
        secrets.iter().any(|row| row.device_id == self.id)
    }

    /// What the ghost reads of a session, with the stolen token.
    pub(crate) async fn reads(&self, world: &World, session: &SessionId) -> Result<Vec<String>, String> {
        let supabase = Arc::new(world.supabase());
        let key = DevicePrivateKey::from_bytes(*self.keys.envelope.expose_bytes());
        let reader = Reader::new(supabase, world.auth.clone(), self.id.clone(), key, SecretsCache::new());
        let page = reader.pull(session, None, 100).await.map_err(|error| error.to_string())?;
        let read = page.messages.into_iter().map(|message| message.map(|read| read.content));
        read.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

/// Seals `secret` for `recipient` as `sender` says it is, and writes it with the secret key.
pub(crate) fn mint_envelope(
    world: &World,
    session: &SessionId,
    secret: &SessionSecret,
    sender: (&DeviceId, &DevicePrivateKey),
    recipient: (&DeviceId, &DevicePrivateKey),
) {
    mint_envelope_of(&world.user_id, world, session, secret, sender, recipient);
}

/// As [`mint_envelope`], sealed for a device of `user`.
pub(crate) fn mint_envelope_of(
    user: &UserId,
    world: &World,
    session: &SessionId,
    secret: &SessionSecret,
    sender: (&DeviceId, &DevicePrivateKey),
    recipient: (&DeviceId, &DevicePrivateKey),
) {
    let route = Route {
        user_id: user,
        session_id: session,
        sender_device_id: sender.0,
        recipient_device_id: recipient.0,
    };
    let (key, public) = (sender.1, recipient.1.public_key());
    let sealed = envelope::seal(secret, route, key, &public, &mut rand::rng()).unwrap();
    let (ephemeral_public_key, encrypted_secret) = sealed.to_wire();
    let row = SecretRow {
        session_id: session.clone(),
        device_id: recipient.0.clone(),
        ephemeral_public_key,
        encrypted_secret,
        sender_device_id: Some(sender.0.clone()),
    };
    world.server.seed(upsert_of(&[row])).unwrap();
}

/// Writes a message of version 1.
pub(crate) fn write_version_1(
    server: &Server,
    session: &SessionId,
    number: i64,
    secret: &SessionSecret,
    text: &str,
) {
    let position = MessagePosition { session_id: session, sequence_number: number };
    let key = secret.message_key();
    let sealed = levi::crypto::message::seal(&key, position, text, &mut rand::rng()).unwrap();
    let mut row = Vec::new();
    encode_message_row(&mut row, session, number, &sealed.ciphertext, &sealed.nonce);
    write(server, &row);
}

/// Writes a message of version 2.
pub(crate) fn write_version_2(
    server: &Server,
    session: &SessionId,
    number: i64,
    secret: &SessionSecret,
    (epoch, epoch_secret): (Epoch, &EpochSecret),
    text: &str,
) {
    let position = MessagePosition { session_id: session, sequence_number: number };
    let key = EpochMessageKey::derive(secret, session, epoch, epoch_secret).unwrap();
    let sealed = message_v2::seal(&key, position, text, Form::default(), &mut rand::rng()).unwrap();
    let nonce = message_v2::nonce_to_wire(epoch, &sealed.nonce);
    let mut row = Vec::new();
    encode_message_row_as(&mut row, session, number, &sealed.ciphertext, &nonce);
    write(server, &row);
}

/// Whether a row opens with the session's secret and any of the keyring's, in whatever epoch and version.
pub(crate) fn opens(
    session: &SessionId,
    row: &StoredMessage,
    secret: &SessionSecret,
    keyring: &Keyring,
) -> bool {
    let position = MessagePosition { session_id: session, sequence_number: row.sequence_number };
    let nonce = message_v2::nonce_from_wire(&row.content_nonce).unwrap().nonce;
    let ciphertext = STANDARD.decode(&row.content_encrypted).unwrap();
    let epochs = || (1..=3).filter_map(Epoch::new);
    let opens_in = |epoch, known: &EpochSecret| {
        let key = EpochMessageKey::derive(secret, session, epoch, known).unwrap();
        message_v2::open(&key, position, &ciphertext, &nonce).is_ok()
    };
    let known: Vec<&EpochSecret> = epochs().filter_map(|epoch| keyring.secret(epoch)).collect();
    epochs().any(|epoch| known.iter().any(|known| opens_in(epoch, known)))
        || levi::crypto::message::open(&secret.message_key(), position, &ciphertext, &nonce).is_ok()
}

fn write(server: &Server, row: &[u8]) {
    let mut batch = MessageBatch::new();
    batch.push(row);
    server.seed(batch.into_upsert()).unwrap();
}

/// Every row of the user's list, and of the keyrings.
pub(crate) fn list_rows(server: &Server) -> Vec<DeviceListRow> {
    rows(server, Table::DeviceList)
}

pub(crate) fn keyring_rows(server: &Server) -> Vec<KeyringRow> {
    rows(server, Table::Keyrings)
}

/// The same, as the devices crate reads them.
pub(crate) fn as_list_rows(world: &World) -> Vec<ListRow> {
    let rows = list_rows(&world.server).into_iter();
    rows.map(|row| ListRow {
        slot: u64::try_from(row.slot).unwrap(),
        entry: row.entry,
        signature: row.signature,
        cosignature: row.cosignature,
    })
    .collect()
}

/// The list that begins first.
pub(crate) fn the_list(world: &World) -> DeviceList {
    let rows = as_list_rows(world);
    let genesis = DeviceList::geneses(&world.user_id, &rows)[0];
    DeviceList::read(&world.user_id, genesis, &rows).unwrap()
}

pub(crate) fn as_row(world: &World, signed: &SignedEntry) -> DeviceListRow {
    let ListRow { slot, entry, signature, cosignature } = signed.to_row().unwrap();
    let (user_id, slot) = (world.user_id.clone(), i64::try_from(slot).unwrap());
    DeviceListRow { user_id, slot, entry, signature, cosignature }
}

/// Writes an entry with the server's secret key.
pub(crate) fn insert(world: &World, signed: &SignedEntry) {
    world.server.seed(upsert_of(&[as_row(world, signed)])).unwrap();
}

/// The keyring on the server, as `device` opens it.
pub(crate) fn keyring_of(world: &World, device: &Device, list: &DeviceList) -> Keyring {
    let row = keyring_rows(&world.server).into_iter().find(|row| row.member_id == device.id).unwrap();
    let sealed = SealedKeyring::from_wire(Epoch::new(row.epoch).unwrap(), &row.enc, &row.sealed).unwrap();
    Keyring::open(&sealed, list, &device.id, &device.keys).unwrap()
}

fn rows<T: serde::de::DeserializeOwned>(server: &Server, table: Table) -> Vec<T> {
    let rows = server.rows(table).unwrap().into_iter();
    rows.map(|row| serde_json::from_value(row.into()).unwrap()).collect()
}
