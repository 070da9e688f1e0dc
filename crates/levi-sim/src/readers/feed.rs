//! Followers of the change feed. Every change that the server accepted reaches every device that
//! may read it, once, in bounded virtual time after the faults end. A process that ends between a
//! page and its cursor skips nothing.
//!
//! One device writes and shares. Others follow with the real `Reader` and `Follow`, each from the
//! cursor that it stored as text. The model knows every text that was ever under a sequence number,
//! and what each device has stored.

mod events;
mod judge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levi_core::{ChangeCursor, Notifications, Notifier as _, Reader, SecretsCache};
use levi_crypto::SessionSecret;
use levi_crypto::envelope::DevicePrivateKey;
use levi_outbox::backoff::Backoff;
use levi_testkit::clock::VirtualClock;
use levi_transport::Table;
use levi_types::{Auth, Clock, DeviceId, SessionId};

use super::following::{How, Process, Push, Tokens};
use super::server::Project;
use super::uuid;
use crate::model::Violation;
use crate::random::Random;

/// How long after the faults everything has arrived: a poll at rest is at most half a minute away,
/// and a minute while changes are said to be pushed.
const IN_TIME: Duration = Duration::from_secs(45);
const IN_TIME_IF_PUSHED: Duration = Duration::from_secs(75);

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
    /// Realtime, which outlives the process here. `None`: it only polls.
    push: Option<Arc<Push>>,
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
        let user = uuid(1, 0).into();
        let project = Project::of(&user);
        project.limit(random.pick(&[0, 0, 1, 3]));
        let clock = Arc::new(VirtualClock::default());
        let tokens = Arc::new(Tokens::new(user, project.clone()));
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
            let push = world.random.chance(50).then(Arc::default);
            let process = world.process(&id, &key, (None, push.clone()));
            let (stored, delivered) = Default::default();
            world.devices.push(Device { id, key, process, push, stored, delivered });
        }
        world.new_session();
        world
    }

    fn event(&mut self) {
        let session = usize::try_from(self.random.below(self.sessions.len() as u64)).unwrap_or(0);
        match self.random.below(25) {
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
            19 | 20 => self.change_realtime(),
            21 => self.push(100),
            _ => {
                // Long enough for the wait of a follower at rest to double up to its bound.
                let millis = self.random.pick(&[10, 900, 5_000, 300_000]);
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
        let is_pushed = |device: &Device| {
            device.push.as_ref().is_some_and(|push| push.state() == Notifications::Connected)
        };
        let in_time = if self.devices.iter().any(is_pushed) { IN_TIME_IF_PUSHED } else { IN_TIME };
        self.let_time_pass(in_time);
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

    fn start(&mut self, number: usize) {
        let Some(device) = self.devices.get(number) else { return };
        let (id, key) = (device.id.clone(), device.key.clone());
        let begins = (device.cursor(), device.push.clone());
        let process = self.process(&id, &key, begins);
        if let Some(device) = self.devices.get_mut(number) {
            device.process = process;
        }
    }

    fn process(
        &mut self,
        id: &DeviceId,
        key: &DevicePrivateKey,
        (cursor, push): (Option<ChangeCursor>, Option<Arc<Push>>),
    ) -> Process {
        let auth = Arc::clone(&self.tokens) as Arc<dyn Auth>;
        let project = Arc::new(self.project.clone());
        let backoff = Backoff { jitter: 0.0, ..Backoff::default() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let reader =
            Reader::new(project, auth, id.clone(), key.clone(), SecretsCache::new()).with_clock(clock);
        let limit = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
        Process::start(reader.with_retries(backoff, 4), How { cursor, limit, push }, &self.clock)
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
