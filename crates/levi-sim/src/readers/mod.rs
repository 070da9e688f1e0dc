//! Readers of sessions whose secrets and owner's keys are replaced. Readable messages stay
//! readable, and no row is called altered while the reader can get a secret that opens it.
//!
//! The module also has followers of the change feed ([`feed`]) and devices that keep a signed list
//! ([`device_lists`]).
//!
//! One device writes and one reads, with the real `SessionSyncService` and `Reader` on a server in
//! memory. The model knows which secret sealed each message and which keys the reader has seen.

mod device;
mod device_lists;
mod feed;
mod following;
mod server;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use levi_core::{Page, Reader, SecretsCache, SessionSyncService};
use levi_crypto::SessionSecret;
use levi_crypto::envelope::DevicePrivateKey;
use levi_crypto::message::{self, MessagePosition};
use levi_outbox::backoff::Backoff;
use levi_transport::Table;
use levi_transport::rows::encode_message_row;
use levi_types::{Auth, DeviceId, Monotonic, SessionId, SessionStore, UserId};

pub(crate) use self::device_lists::run as run_device_lists;

use self::device::{SignedIn, Store, at_once};
use self::server::Project;
use crate::model::Violation;
use crate::random::Random;

/// One seed in this many runs this simulation too, because envelopes cost more than everything else
/// here.
const ONE_IN: u64 = 16;

/// Which of `4 * ONE_IN` seeds runs devices with a signed list: each costs as much as fifty seeds
/// without.
const DEVICE_LISTS_AT: u64 = ONE_IN / 2;

/// Runs a seed, if it is one of those that run this simulation. The trace has a line for each
/// event.
pub(crate) fn run(seed: u64) -> Option<(Option<Violation>, Vec<String>)> {
    match seed % (4 * ONE_IN) {
        DEVICE_LISTS_AT => Some(run_device_lists(seed)),
        rest if rest.is_multiple_of(2 * ONE_IN) => Some(feed::run(seed)),
        rest if rest.is_multiple_of(ONE_IN) => Some(sessions(seed)),
        _ => None,
    }
}

/// Reads session by session.
fn sessions(seed: u64) -> (Option<Violation>, Vec<String>) {
    let mut world = World::new(seed);
    let events = world.random.between(8, 30);
    for _ in 0..events {
        world.event();
        if world.violation.is_some() {
            break;
        }
    }
    for session in 0..world.sessions.len() {
        world.read(session, None);
    }
    (world.violation, world.trace)
}

/// The writing device's session.
struct Session {
    id: SessionId,
    secret: SessionSecret,
    /// Counts the session's secrets.
    version: u32,
    next: i64,
    /// The version that sealed each message; `None`: a row that nobody sealed.
    messages: BTreeMap<i64, Option<u32>>,
    /// The secret in the reader's envelope, and the owner's key that sealed it.
    envelope: (u32, u32),
    /// The last message that the reader has read, as it stores it.
    cursor: Option<i64>,
}

struct World {
    random: Random,
    project: Project,
    auth: Arc<dyn Auth>,
    user: UserId,
    owner: DeviceId,
    owner_key: DevicePrivateKey,
    /// Counts the owner's keys.
    key_version: u32,
    owner_store: Arc<Store>,
    reader_id: DeviceId,
    reader_key: DevicePrivateKey,
    reader_store: Arc<Store>,
    reader: Reader,
    sessions: Vec<Session>,
    /// What the reader opened: session and version.
    opened: HashSet<(usize, u32)>,
    /// The keys of the owner under which the reader opened something.
    seen_keys: HashSet<u32>,
    violation: Option<Violation>,
    trace: Vec<String>,
}

fn uuid(kind: u8, number: usize) -> String {
    format!("{kind:08x}-0000-4000-8000-{number:012x}")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 40);
        let user: UserId = uuid(1, 0).into();
        let (owner_key, reader_key) =
            (DevicePrivateKey::generate(&mut random), DevicePrivateKey::generate(&mut random));
        let (project, reader_store) = (Project::default(), Arc::new(Store::default()));
        let auth: Arc<dyn Auth> = Arc::new(SignedIn(user.clone()));
        let reader_id: DeviceId = uuid(2, 1).into();
        let reader = reader(&project, &auth, &reader_id, &reader_key, &reader_store);
        project.limit(random.pick(&[0, 1, 2, 5]));
        let mut world = Self {
            random,
            project,
            auth,
            user,
            owner: uuid(2, 0).into(),
            owner_key,
            key_version: 0,
            owner_store: Arc::new(Store::default()),
            reader_id,
            reader_key,
            reader_store,
            reader,
            sessions: Vec::new(),
            opened: HashSet::new(),
            seen_keys: HashSet::new(),
            violation: None,
            trace: Vec::new(),
        };
        world.register(&world.owner.clone(), &world.owner_key.clone());
        world.register(&world.reader_id.clone(), &world.reader_key.clone());
        world.new_session();
        world
    }

    fn event(&mut self) {
        let session = usize::try_from(self.random.below(self.sessions.len() as u64)).unwrap_or(0);
        match self.random.below(14) {
            0..=3 => self.write(session),
            4 => self.new_secret(session),
            5 => self.new_owner_key(),
            6 => self.share_again(session),
            7 => self.restart_reader(),
            8 => self.new_session(),
            9 => self.garbage(session),
            _ => {
                let cursor = self.sessions.get(session).and_then(|session| session.cursor);
                let after = if self.random.chance(50) { cursor } else { None };
                self.project.time_out(self.random.pick(&[0, 0, 1, 3]));
                self.read(session, after);
            }
        }
    }

    fn register(&mut self, device: &DeviceId, key: &DevicePrivateKey) {
        let row = serde_json::json!([{
            "id": device, "user_id": self.user, "name": "n", "device_type": "desktop",
            "public_key": key.public_key().to_base64(), "is_active": true,
        }]);
        self.put(Table::Devices, row.to_string().as_bytes());
    }

    fn put(&mut self, table: Table, body: &[u8]) {
        if let Err(error) = self.project.write(table, body) {
            self.fail(format!("the simulated server refused a row: {error}"));
        }
    }

    fn new_session(&mut self) {
        let number = self.sessions.len();
        let id: SessionId = uuid(3, number).into();
        let row = serde_json::json!([{ "id": id, "user_id": self.user, "device_id": self.owner }]);
        self.put(Table::Sessions, row.to_string().as_bytes());
        let secret = SessionSecret::generate(&mut self.random);
        self.sessions.push(Session {
            id,
            secret,
            version: 0,
            next: 0,
            messages: BTreeMap::new(),
            envelope: (0, 0),
            cursor: None,
        });
        self.note(format!("s{number} begins"));
        self.share_again(number);
    }

    fn new_secret(&mut self, number: usize) {
        let secret = SessionSecret::generate(&mut self.random);
        let Some(session) = self.sessions.get_mut(number) else { return };
        (session.secret, session.version) = (secret, session.version + 1);
        self.note(format!("s{number} gets a new secret"));
        self.share_again(number);
    }

    /// The owner's key is replaced under the same id; envelopes stay as they are.
    fn new_owner_key(&mut self) {
        self.owner_key = DevicePrivateKey::generate(&mut self.random);
        self.key_version += 1;
        self.note("the owner's key is replaced".to_owned());
        self.register(&self.owner.clone(), &self.owner_key.clone());
    }

    fn share_again(&mut self, number: usize) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        session.envelope = (session.version, self.key_version);
        // The outbox would try again; here there is one attempt.
        self.project.time_out(0);
        let (id, secret) = (session.id.clone(), session.secret.clone());
        // Exposed to the device's own store.
        self.owner_store.save_secret(&id, secret.expose().into());
        let service = SessionSyncService::with_parts(
            Arc::new(self.project.clone()),
            Arc::clone(&self.owner_store) as Arc<dyn SessionStore>,
            Arc::clone(&self.auth),
            self.owner.clone(),
            self.owner_key.clone(),
            SecretsCache::new(),
        )
        .with_random(self.random.clone());
        self.random.number();
        match at_once(service.distribute_secret_now(&id, &secret)) {
            Some(Ok(distribution))
                if distribution.skipped.is_empty() && distribution.delivered.len() == 2 => {}
            other => self.fail(format!("s{number}: the secret does not get to both devices: {other:?}")),
        }
    }

    fn restart_reader(&mut self) {
        self.note("the reader starts again".to_owned());
        self.reader =
            reader(&self.project, &self.auth, &self.reader_id, &self.reader_key, &self.reader_store);
    }

    fn write(&mut self, number: usize) {
        for _ in 0..self.random.between(1, 3) {
            let Some(session) = self.sessions.get_mut(number) else { return };
            let (id, place) = (session.id.clone(), session.next);
            session.next += 1;
            session.messages.insert(place, Some(session.version));
            let key = session.secret.message_key();
            let position = MessagePosition { session_id: &id, sequence_number: place };
            let Ok(sealed) = message::seal(&key, position, &content(place), &mut self.random) else { return };
            let mut row = vec![b'['];
            encode_message_row(&mut row, &id, place, &sealed.ciphertext, &sealed.nonce);
            row.push(b']');
            self.put(Table::Messages, &row);
        }
        self.note(format!("s{number} is written to"));
    }

    /// Somebody without the key inserts a row after all others, or among them.
    fn garbage(&mut self, number: usize) {
        let far = self.random.chance(50);
        let Some(session) = self.sessions.get_mut(number) else { return };
        let (id, place) = (session.id.clone(), if far { i64::MAX } else { session.next });
        session.next += i64::from(!far);
        session.messages.insert(place, None);
        let mut row = vec![b'['];
        encode_message_row(&mut row, &id, place, &[7; 20], &[7; message::NONCE_BYTES]);
        row.push(b']');
        self.note(format!("s{number} gets garbage at {place}"));
        self.put(Table::Messages, &row);
    }

    /// Reads from `after` to the end and compares.
    fn read(&mut self, number: usize, after: Option<i64>) {
        let limit = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
        self.note(format!("s{number} is read after {after:?}, {limit} at a time"));
        let expected = self.expected(number, after);
        let Some(id) = self.sessions.get(number).map(|session| session.id.clone()) else { return };
        let (mut read, mut cursor) = (Vec::new(), after);
        // Each call but the last returns a message that can be read.
        for _ in 0..=expected.as_ref().map_or(0, Vec::len) {
            match (at_once(self.reader.pull(&id, cursor, limit)), &expected) {
                (Some(Ok(Page { messages, cursor: next })), Some(_)) => {
                    read.extend(messages.into_iter().filter_map(Result::ok));
                    if next.is_none() {
                        break;
                    }
                    cursor = next;
                }
                (Some(Err(_)), None) => return,
                (Some(outcome), _) => {
                    return self.fail(format!("s{number}: {outcome:?}, expected {expected:?}"));
                }
                (None, _) => return self.fail(format!("s{number}: the reader waits")),
            }
        }
        let wrong = read.iter().find(|message| message.content != content(message.sequence_number));
        let numbers: Vec<i64> = read.iter().map(|message| message.sequence_number).collect();
        let expected = expected.unwrap_or_default();
        if wrong.is_some() || numbers != expected {
            return self.fail(format!("s{number}: {numbers:?} can be read, expected {expected:?}"));
        }
        if cursor != expected.last().copied().or(after) {
            return self.fail(format!("s{number}: the cursor is {cursor:?} after {numbers:?}"));
        }
        if let Some(session) = self.sessions.get_mut(number) {
            session.cursor = session.cursor.max(cursor);
        }
    }

    /// The messages past `after` that the reader must be able to read. `None` if it has no secret
    /// and cannot get one.
    fn expected(&mut self, number: usize, after: Option<i64>) -> Option<Vec<i64>> {
        let session = self.sessions.get(number)?;
        let past = |place: &i64| after.is_none_or(|after| *place > after);
        let rows: Vec<(i64, Option<u32>)> = session
            .messages
            .iter()
            .filter(|(place, _)| past(place))
            .map(|(place, by)| (*place, *by))
            .collect();
        let has = |opened: &HashSet<_>, by: Option<u32>| by.is_some_and(|by| opened.contains(&(number, by)));
        let has_any = (0..=session.version).any(|version| self.opened.contains(&(number, version)));
        let asks = !has_any || rows.iter().any(|(_, by)| !has(&self.opened, *by));
        let (version, key) = session.envelope;
        if asks && (key == self.key_version || self.seen_keys.contains(&key)) {
            self.opened.insert((number, version));
            self.seen_keys.insert(key);
        } else if !has_any {
            return None;
        }
        Some(rows.into_iter().filter(|(_, by)| has(&self.opened, *by)).map(|(place, _)| place).collect())
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    fn fail(&mut self, what: String) {
        self.note(format!("violation: {what}"));
        let what = format!("{what}; after: {}", self.trace.join(", "));
        self.violation.get_or_insert(Violation { oracle: "readable", what, at: Monotonic::default() });
    }
}

fn content(place: i64) -> String {
    format!("message {place}")
}

/// A reading process that has just started.
fn reader(
    project: &Project,
    auth: &Arc<dyn Auth>,
    id: &DeviceId,
    key: &DevicePrivateKey,
    store: &Arc<Store>,
) -> Reader {
    let supabase = Arc::new(project.clone());
    // Nothing waits here: statement timeouts only make the pages smaller.
    Reader::new(supabase, Arc::clone(auth), id.clone(), key.clone(), SecretsCache::new())
        .with_store(Arc::clone(store) as Arc<dyn SessionStore>)
        .with_retries(Backoff { base: std::time::Duration::ZERO, ..Backoff::default() }, 4)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_readable_stays_readable() {
        for seed in 0..100 {
            let (violation, trace) = super::sessions(seed);
            assert!(violation.is_none(), "seed {seed}: {violation:?}\n{}", trace.join("\n"));
        }
    }
}
