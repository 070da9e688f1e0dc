//! What happens to the sessions, the server and the processes.

use std::collections::BTreeMap;
use std::sync::Arc;

use levi_core::{Notifications, PollingReason, SecretsCache, SessionSyncService};
use levi_crypto::SessionSecret;
use levi_crypto::message::{self, MessagePosition};
use levi_transport::Table;
use levi_transport::rows::encode_message_row;
use levi_types::{Auth, SessionId, SessionStore};

use super::{Session, World};
use crate::readers::device::{SignedIn, Store, at_once};
use crate::readers::uuid;

impl World {
    pub(super) fn put(&mut self, table: Table, body: &[u8]) {
        if let Err(error) = self.project.write(table, body) {
            self.fail("readable", format!("the simulated server refused a row: {error}"));
        }
    }

    pub(super) fn new_session(&mut self) {
        let number = self.sessions.len();
        let id: SessionId = uuid(3, number).into();
        let user = &self.tokens.user;
        let row = serde_json::json!([{ "id": id, "user_id": user, "device_id": self.owner }]);
        self.put(Table::Sessions, row.to_string().as_bytes());
        let secret = SessionSecret::generate(&mut self.random);
        self.sessions.push(Session {
            id,
            secret,
            is_shared: false,
            is_deleted: false,
            messages: BTreeMap::new(),
            last_batch: Vec::new(),
        });
        self.note(format!("s{number} begins"));
        if self.random.chance(50) {
            self.share(number);
        }
    }

    /// Every device gets an envelope.
    pub(super) fn share(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number).filter(|session| !session.is_deleted) else {
            return;
        };
        session.is_shared = true;
        let (id, secret) = (session.id.clone(), session.secret.clone());
        self.note(format!("s{number} is shared"));
        let store = Arc::new(Store::default());
        // Exposed to the device's own store.
        store.save_secret(&id, secret.expose().into());
        let auth = Arc::new(SignedIn(self.tokens.user.clone()));
        let service = SessionSyncService::with_parts(
            Arc::new(self.project.as_owner()),
            store as Arc<dyn SessionStore>,
            auth as Arc<dyn Auth>,
            self.owner.clone(),
            self.owner_key.clone(),
            SecretsCache::new(),
        )
        .with_random(self.random.clone());
        self.random.number();
        let done = at_once(service.distribute_secret_now(&id, &secret));
        if !matches!(&done, Some(Ok(done)) if done.skipped.is_empty() && done.delivered.len() == 3) {
            self.fail("readable", format!("s{number}: the secret does not get to all devices: {done:?}"));
        }
    }

    pub(super) fn write(&mut self, number: usize) {
        let count = self.random.between(1, 3);
        let mut rows = Vec::new();
        for _ in 0..count {
            let late = self.random.chance(15);
            let Some(session) = self.sessions.get_mut(number).filter(|session| !session.is_deleted) else {
                return;
            };
            let below = session.messages.first_key_value().map(|(first, _)| first - 1);
            let next = session.messages.last_key_value().map_or(100, |(last, _)| last.saturating_add(2));
            // A late message has a lower number than those that were sent before.
            let place = if late { below.unwrap_or(next) } else { next };
            rows.push(place);
        }
        rows.dedup();
        for place in rows {
            self.put_text(number, place);
        }
        self.note(format!("s{number} is written to"));
    }

    pub(super) fn edit(&mut self, number: usize) {
        let Some(session) = self.sessions.get(number).filter(|session| !session.is_deleted) else { return };
        let places: Vec<i64> = session.messages.keys().copied().collect();
        if places.is_empty() {
            return;
        }
        let place = self.random.pick(&places);
        self.put_text(number, place);
        self.note(format!("s{number}/{place} is edited"));
    }

    fn put_text(&mut self, number: usize, place: i64) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let texts = session.messages.entry(place).or_default();
        let text = format!("s{number}/{place} text {}", texts.len());
        texts.push(text.clone());
        let position = MessagePosition { session_id: &session.id, sequence_number: place };
        let key = session.secret.message_key();
        let Ok(sealed) = message::seal(&key, position, &text, &mut self.random) else { return };
        let mut row = vec![b'['];
        encode_message_row(&mut row, &session.id, place, &sealed.ciphertext, &sealed.nonce);
        self.put_row(number, row);
    }

    /// A row that nobody sealed.
    pub(super) fn garbage(&mut self, number: usize) {
        let byte = u8::try_from(self.random.below(250)).unwrap_or(7);
        let Some(session) = self.sessions.get_mut(number).filter(|session| !session.is_deleted) else {
            return;
        };
        let place = session.messages.last_key_value().map_or(100, |(last, _)| last.saturating_add(2));
        session.messages.insert(place, vec![String::new()]);
        let mut row = vec![b'['];
        encode_message_row(&mut row, &session.id, place, &[byte; 20], &[byte; message::NONCE_BYTES]);
        self.note(format!("s{number} gets garbage at {place}"));
        self.put_row(number, row);
    }

    fn put_row(&mut self, number: usize, mut row: Vec<u8>) {
        row.push(b']');
        self.put(Table::Messages, &row);
        if let Some(session) = self.sessions.get_mut(number) {
            session.last_batch = row;
        }
        // A push may be lost.
        self.push(70);
    }

    /// As after an answer that was lost.
    pub(super) fn send_again(&mut self, number: usize) {
        let Some(session) = self.sessions.get(number).filter(|session| !session.is_deleted) else { return };
        let batch = session.last_batch.clone();
        if !batch.is_empty() {
            self.put(Table::Messages, &batch);
        }
    }

    pub(super) fn delete(&mut self, number: usize) {
        if self.random.chance(70) {
            return;
        }
        let Some(session) = self.sessions.get_mut(number) else { return };
        session.is_deleted = true;
        let id = session.id.clone();
        self.project.delete_session(&id);
        self.note(format!("s{number} is deleted"));
    }

    pub(super) fn set_down(&mut self, is_down: bool) {
        self.project.set_down(is_down);
        self.note(format!("the server is {}", if is_down { "down" } else { "up" }));
    }

    /// Realtime connects, or it ends.
    pub(super) fn change_realtime(&mut self) {
        let state = match self.random.below(4) {
            0 => Notifications::Polling(PollingReason::Dropped),
            1 => Notifications::Polling(PollingReason::NotOffered { status: 429 }),
            _ => Notifications::Connected,
        };
        let number = usize::try_from(self.random.below(self.devices.len() as u64)).unwrap_or(0);
        if let Some(push) = self.devices.get(number).and_then(|device| device.push.as_ref()) {
            push.set_state(state.clone());
            self.note(format!("Realtime of device {number}: {state:?}"));
        }
    }

    /// Wakes some of the devices that believe that changes are pushed, whether anything changed or
    /// not.
    pub(super) fn push(&mut self, percent: u64) {
        for device in &self.devices {
            if let Some(push) = device.push.as_ref().filter(|_| self.random.chance(percent)) {
                push.wake();
            }
        }
    }

    pub(super) fn kill(&mut self) {
        let number = usize::try_from(self.random.below(self.devices.len() as u64)).unwrap_or(0);
        self.note(format!("device {number} starts again"));
        self.start(number);
    }
}
