//! Followers of the change feed. Every change that the server accepted reaches every device that
//! may read it, once, in bounded virtual time after the faults end. A process that ends between a
//! page and its cursor skips nothing.
//!
//! One device writes and shares. Others follow with the real `Reader` and `Follow`, each from the
//! cursor that it stored as text. The model knows every text that was ever under a sequence number,
//! and what each device has stored.

mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levi_core::{ChangeCursor, Reader, SecretsCache, SessionSyncService};
use levi_crypto::SessionSecret;
use levi_crypto::envelope::DevicePrivateKey;
use levi_crypto::message::{self, MessagePosition};
use levi_outbox::backoff::Backoff;
use levi_testkit::clock::VirtualClock;
use levi_transport::Table;
use levi_transport::rows::encode_message_row;
use levi_types::{Auth, Clock, DeviceId, SessionId, SessionStore};

use super::device::{Store, at_once};
use super::following::{Process, Tokens};
use super::server::Project;
use super::uuid;
use crate::model::Violation;
use crate::random::Random;

/// How long after the faults everything has arrived: a poll at rest is at most half a minute away.
const IN_TIME: Duration = Duration::from_secs(45);

/// Runs a seed. The trace has a line for everything that happens.
pub(super) fn run(seed: u64) -> (Option<Violation>, Vec<String>) {
    let mut world = World::new(seed);
    let events = world.random.between(10, 50);
    for _ in 0..events {
        world.event();
        world.let_time_pass(Duration::ZERO);
        if world.violation.is_some() {
            break;
        }
    }
    world.end();
    (world.violation, world.trace)
}

struct Session {
    id: SessionId,
    secret: SessionSecret,
    is_shared: bool,
    is_deleted: bool,
    /// The texts of each sequence number; the last is the present one. An empty text is a row that
    /// no device sealed.
    messages: BTreeMap<i64, Vec<String>>,
    /// The last batch, as it went out.
    last_batch: Vec<u8>,
}

/// A row's place: session and number.
type Place = (usize, i64);

/// The changes that a device has delivered, up to its stored cursor.
#[derive(Clone, Default)]
struct Delivered {
    texts: BTreeMap<Place, Vec<String>>,
    unreadable: BTreeMap<Place, usize>,
    highest: BTreeMap<usize, i64>,
}

struct Device {
    id: DeviceId,
    key: DevicePrivateKey,
    process: Process,
    /// The cursor as text.
    stored: Option<String>,
    delivered: Delivered,
}

struct World {
    random: Random,
    clock: Arc<VirtualClock>,
    project: Project,
    tokens: Arc<Tokens>,
    owner: DeviceId,
    owner_key: DevicePrivateKey,
    sessions: Vec<Session>,
    devices: Vec<Device>,
    violation: Option<Violation>,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 41);
        let project = Project::default();
        project.limit(random.pick(&[0, 0, 1, 3]));
        let clock = Arc::new(VirtualClock::default());
        let tokens = Arc::new(Tokens::new(uuid(1, 0).into(), project.clone()));
        let owner_key = DevicePrivateKey::generate(&mut random);
        let mut world = Self {
            random,
            clock,
            project,
            tokens,
            owner: uuid(2, 0).into(),
            owner_key,
            sessions: Vec::new(),
            devices: Vec::new(),
            violation: None,
            trace: Vec::new(),
        };
        world.register(&world.owner.clone(), &world.owner_key.clone());
        for number in 1..=2 {
            let (id, key) = (DeviceId::from(uuid(2, number)), DevicePrivateKey::generate(&mut world.random));
            world.register(&id, &key);
            let process = world.process(&id, &key, None);
            world.devices.push(Device { id, key, process, stored: None, delivered: Delivered::default() });
        }
        world.new_session();
        world
    }

    fn event(&mut self) {
        let session = usize::try_from(self.random.below(self.sessions.len() as u64)).unwrap_or(0);
        match self.random.below(22) {
            0..=4 => self.write(session),
            5 | 6 => self.edit(session),
            7 => self.garbage(session),
            8 => self.send_again(session),
            9 | 10 => self.share(session),
            11 => self.new_session(),
            12 => self.delete(session),
            13 => self.project.time_out(self.random.pick(&[1, 2, 5])),
            14 => self.set_down(true),
            15 => self.set_down(false),
            16 => self.tokens.expire(),
            17 => {
                let is_signed_in = self.random.chance(60);
                self.tokens.set_signed_in(is_signed_in);
            }
            18 => self.kill(),
            _ => {
                let millis = self.random.pick(&[10, 900, 5_000, 60_000]);
                self.let_time_pass(Duration::from_millis(millis));
            }
        }
    }

    /// The faults end, every session that can get its key gets it, and every readable message
    /// arrives.
    fn end(&mut self) {
        self.set_down(false);
        self.project.time_out(0);
        self.tokens.set_signed_in(true);
        for session in 0..self.sessions.len() {
            if self.random.chance(70) {
                self.share(session);
            }
        }
        self.let_time_pass(IN_TIME);
        for device in 0..self.devices.len() {
            self.check_arrived(device);
        }
    }

    fn register(&mut self, device: &DeviceId, key: &DevicePrivateKey) {
        let row = serde_json::json!([{
            "id": device, "user_id": self.tokens.user, "name": "n", "device_type": "desktop",
            "public_key": key.public_key().to_base64(), "is_active": true,
        }]);
        self.put(Table::Devices, row.to_string().as_bytes());
    }

    fn put(&mut self, table: Table, body: &[u8]) {
        if let Err(error) = self.project.write(table, body) {
            self.fail("readable", format!("the simulated server refused a row: {error}"));
        }
    }

    fn new_session(&mut self) {
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
    fn share(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number).filter(|session| !session.is_deleted) else {
            return;
        };
        session.is_shared = true;
        let (id, secret) = (session.id.clone(), session.secret.clone());
        self.note(format!("s{number} is shared"));
        let store = Arc::new(Store::default());
        // Exposed to the device's own store.
        store.save_secret(&id, secret.expose().into());
        let auth = Arc::new(super::device::SignedIn(self.tokens.user.clone()));
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

    fn write(&mut self, number: usize) {
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

    fn edit(&mut self, number: usize) {
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
    fn garbage(&mut self, number: usize) {
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
        let user = self.tokens.user.to_string();
        // The database fills in the owner.
        row.pop();
        row.extend_from_slice(format!(",\"user_id\":\"{user}\"}}]").as_bytes());
        self.put(Table::Messages, &row);
        if let Some(session) = self.sessions.get_mut(number) {
            session.last_batch = row;
        }
    }

    /// As after an answer that was lost.
    fn send_again(&mut self, number: usize) {
        let Some(session) = self.sessions.get(number).filter(|session| !session.is_deleted) else { return };
        let batch = session.last_batch.clone();
        if !batch.is_empty() {
            self.put(Table::Messages, &batch);
        }
    }

    fn delete(&mut self, number: usize) {
        if self.random.chance(70) {
            return;
        }
        let Some(session) = self.sessions.get_mut(number) else { return };
        session.is_deleted = true;
        let id = session.id.clone();
        self.project.delete_session(&id);
        self.note(format!("s{number} is deleted"));
    }

    fn set_down(&mut self, is_down: bool) {
        self.project.set_down(is_down);
        self.note(format!("the server is {}", if is_down { "down" } else { "up" }));
    }

    fn kill(&mut self) {
        let number = usize::try_from(self.random.below(self.devices.len() as u64)).unwrap_or(0);
        self.note(format!("device {number} starts again"));
        self.start(number);
    }

    fn start(&mut self, number: usize) {
        let Some(device) = self.devices.get(number) else { return };
        let (id, key, cursor) = (device.id.clone(), device.key.clone(), device.cursor());
        let process = self.process(&id, &key, cursor);
        if let Some(device) = self.devices.get_mut(number) {
            device.process = process;
        }
    }

    fn process(&mut self, id: &DeviceId, key: &DevicePrivateKey, cursor: Option<ChangeCursor>) -> Process {
        let auth = Arc::clone(&self.tokens) as Arc<dyn Auth>;
        let project = Arc::new(self.project.clone());
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let reader =
            Reader::new(project, auth, id.clone(), key.clone(), SecretsCache::new()).with_clock(clock);
        let limit = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
        Process::start(reader.with_retries(backoff, 4), cursor, limit, &self.clock)
    }

    /// Runs every process until it waits, and advances the clock by `time`.
    fn let_time_pass(&mut self, time: Duration) {
        let until = self.clock.now().monotonic.after(time);
        loop {
            for number in 0..self.devices.len() {
                self.run_device(number);
            }
            let due = self.devices.iter().filter_map(|device| device.process.due()).min();
            match due {
                Some(due) if due <= until && self.violation.is_none() => self.clock.advance_to(due),
                _ => break,
            }
        }
        // Nothing is due before it.
        self.clock.advance_to(until);
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    fn fail(&mut self, oracle: &'static str, what: String) {
        self.note(format!("violation: {what}"));
        let what = format!("{what}; after: {}", self.trace.join(", "));
        let at = self.clock.now().monotonic;
        self.violation.get_or_insert(Violation { oracle, what, at });
    }
}

impl Device {
    fn cursor(&self) -> Option<ChangeCursor> {
        self.stored.as_ref().and_then(|text| text.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn followers_get_everything_once() {
        for seed in 0..150 {
            let (violation, trace) = super::run(seed);
            assert!(violation.is_none(), "seed {seed}: {violation:?}\n{}", trace.join("\n"));
        }
    }
}
