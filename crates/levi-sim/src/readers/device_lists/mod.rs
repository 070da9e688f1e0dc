//! The devices of one user who keeps a signed device list. All devices and the server are honest.
//! Nobody is ever accused, every device on the list reads everything that was sealed for the list,
//! a removed device reads nothing that was sealed after its removal, and all devices finish in
//! bounded virtual time after the faults have ended.
//!
//! Each device runs the real `SignedDeviceList`, `DeviceListAdmin`, `SessionSyncService`, `Reader`
//! and `Sealer`, and some of them `Follow` ([`followers`]). Each of its requests takes two steps,
//! between which other devices act. So changes of the list race, and processes end between any
//! request and the write that follows it.

mod check;
mod disk;
mod end;
mod followers;
mod line;
mod paper;
mod people;
mod process;
mod sealing;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use levi_core::{DeviceListState, NextLook, SignedDeviceList};
use levi_crypto::SessionSecret;
use levi_devices::recovery::RecoveryKey;
use levi_testkit::clock::VirtualClock;
use levi_types::{Clock, Monotonic, SessionId, UserId};

use self::followers::Follower;
use self::line::Weather;
use self::process::{Done, Job, Machine, Process, lock};
use super::server::Project;
use super::uuid;
use crate::model::Violation;
use crate::random::Random;

/// Runs a seed. The trace has a line for everything that happens.
pub(crate) fn run(seed: u64) -> (Option<Violation>, Vec<String>) {
    let mut world = World::new(seed);
    for _ in 0..world.random.between(10, 40) {
        world.event();
        for _ in 0..world.random.pick(&[0, 3, 10, 40]) {
            world.step();
        }
        if world.violation.is_some() {
            break;
        }
    }
    world.end();
    (world.violation, world.trace)
}

/// A device of the user.
struct Device {
    machine: Machine,
    process: Process,
    jobs: Vec<Job>,
    /// A device that is off does nothing, and later continues where it stopped.
    is_on: bool,
    /// It never comes back.
    is_lost: bool,
    /// It follows and runs no worker, so that nothing looks at the list but its reads. Its person types commands beside it.
    only_reads: bool,
    follower: Option<Follower>,
    is_looking: bool,
    /// When to look next, because the last look did not settle, and the pause before that.
    look_at: Option<(Monotonic, Duration)>,
    /// Whether messages are under way, so that the list is looked at.
    is_active: bool,
    /// What it has said of the list last.
    said: DeviceListState,
}

struct Session {
    id: SessionId,
    secret: SessionSecret,
    /// The device that begins it.
    owner: usize,
    /// The device that writes now.
    writer: usize,
    next: i64,
    is_distributed: bool,
}

struct World {
    seed: u64,
    random: Random,
    clock: Arc<VirtualClock>,
    project: Project,
    user: UserId,
    weather: Arc<Mutex<Weather>>,
    devices: Vec<Device>,
    sessions: Vec<Session>,
    /// What each device has read of each session last.
    reads: HashMap<(usize, usize), end::Read>,
    /// Every recovery key that was ever written down.
    papers: Vec<RecoveryKey>,
    /// Processes that were started.
    started: u64,
    violation: Option<Violation>,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 42);
        let (user, faults) = (UserId::from(uuid(1, 0)), random.pick(&[0, 2, 5, 12]));
        let mut world = Self {
            seed,
            random,
            clock: Arc::new(VirtualClock::default()),
            project: Project::of(&user).as_owner(),
            user,
            weather: Arc::new(Mutex::new(Weather { faults, is_down: false })),
            devices: Vec::new(),
            sessions: Vec::new(),
            reads: HashMap::new(),
            papers: Vec::new(),
            started: 0,
            violation: None,
            trace: Vec::new(),
        };
        world.note(format!("{faults} of a hundred requests fail"));
        for _ in 0..world.random.between(2, 3) {
            world.new_device();
        }
        world.init(0);
        world
    }

    /// Lets one device do one thing.
    fn step(&mut self) {
        let millis = self.random.pick(&[0, 5, 40, 300, 2_000]);
        self.clock.advance(Duration::from_millis(millis));
        let now = self.clock.now();
        let user = self.user.clone();
        let works = |device: &&mut Device| device.is_on && !device.is_looking && !device.only_reads;
        for device in self.devices.iter_mut().filter(works) {
            let is_due = match device.look_at {
                Some((at, _)) => now.monotonic >= at,
                None => device.is_active && device.process.list.is_look_due(&user, now),
            };
            if is_due {
                (device.is_looking, device.is_active) = (true, false);
                device.jobs.push(device.process.look());
            }
        }
        let busy: Vec<usize> = (0..self.devices.len()).filter(|number| self.is_busy(*number)).collect();
        let Some(number) = self.one_of(&busy) else { return };
        self.go_on(number);
    }

    fn is_busy(&self, number: usize) -> bool {
        let now = self.clock.now().monotonic;
        let has_work = |device: &Device| !device.jobs.is_empty() || device.follows_at(now);
        self.devices.get(number).is_some_and(|device| device.is_on && has_work(device))
    }

    /// Runs one job of a device, or its follower, until it waits for a request.
    fn go_on(&mut self, number: usize) {
        let now = self.clock.now().monotonic;
        let Some(device) = self.devices.get(number) else { return };
        let (jobs, follows) = (device.jobs.len(), device.follows_at(now));
        let work = self.random.below((jobs + usize::from(follows)) as u64);
        match usize::try_from(work).unwrap_or(0) {
            job if job < jobs => self.run_job(number, job),
            _ => self.run_follower(number),
        }
        self.check_state(number);
    }

    fn run_job(&mut self, number: usize, job: usize) {
        let Some(device) = self.devices.get_mut(number) else { return };
        let Some(running) = device.jobs.get_mut(job) else { return };
        let polled = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if device.process.line.is_dead() {
            self.restart(number);
            return;
        }
        if let Poll::Ready(done) = polled {
            drop(device.jobs.swap_remove(job));
            self.done(number, done);
        }
    }

    fn done(&mut self, number: usize, done: Done) {
        let now = self.clock.now().monotonic;
        let Some(device) = self.devices.get_mut(number) else { return };
        match done {
            Done::Looked(next) => {
                device.is_looking = false;
                device.look_at = match next {
                    NextLook::WhenDue => None,
                    NextLook::AfterPause | NextLook::AfterRefresh => {
                        let pause = SignedDeviceList::pause(device.look_at.map(|(_, pause)| pause));
                        Some((now.after(pause), pause))
                    }
                };
                let state = device.process.list.state();
                self.note(format!("d{number} has looked: {state:?}"));
            }
            Done::Sent => {}
            Done::Read { session, result } => self.check_read(number, session, result),
            Done::Changed { what, result } => self.check_change(number, what, result),
            Done::Shared(result) => self.check_shared(number, result),
            Done::Mended(result) => self.check_sync(number, "verify", result),
            Done::Distributed { session, result } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.is_distributed |= result.is_ok();
                }
                self.check_sync(number, "distribute", result);
            }
        }
    }

    /// The process ends, and the next one begins with the content of the disk.
    fn restart(&mut self, number: usize) {
        self.started += 1;
        let random = Random::new(self.seed, 1_000 + self.started);
        let Some(device) = self.devices.get_mut(number) else { return };
        device.process.line.end();
        device.jobs.clear();
        device.process = Process::start(&device.machine, &random);
        (device.is_looking, device.look_at, device.is_active) = (false, None, true);
        self.note(format!("d{number} starts again"));
        self.follow(number);
        // As a daemon does at its start.
        self.look(number);
    }

    fn look(&mut self, number: usize) {
        let works = |device: &&mut Device| !device.is_looking && !device.only_reads;
        if let Some(device) = self.devices.get_mut(number).filter(works) {
            device.is_looking = true;
            device.jobs.push(device.process.look());
        }
    }

    fn start(&mut self, number: usize, job: impl FnOnce(&Process) -> Job) {
        if let Some(device) = self.devices.get_mut(number) {
            device.jobs.push(job(&device.process));
        }
    }

    /// As [`start`](Self::start), for what a person types: where the device only reads, in a process of its own.
    fn command(&mut self, number: usize, job: impl FnOnce(&Process) -> Job) {
        self.started += 1;
        let random = Random::new(self.seed, 1_000 + self.started);
        let Some(device) = self.devices.get_mut(number) else { return };
        let job = match device.only_reads {
            true => job(&Process::on(Arc::clone(&device.process.line), &device.machine, &random)),
            false => job(&device.process),
        };
        device.jobs.push(job);
    }

    fn set_weather(&self, change: impl FnOnce(&mut Weather)) {
        change(&mut lock(&self.weather));
    }

    /// One of `of`, if there is one.
    fn one_of(&mut self, of: &[usize]) -> Option<usize> {
        let index = usize::try_from(self.random.below(of.len() as u64)).unwrap_or(0);
        of.get(index).copied()
    }

    fn note(&mut self, line: String) {
        self.trace.push(line);
    }

    fn fail(&mut self, oracle: &'static str, what: String) {
        self.note(format!("violation: {what}"));
        let at = self.clock.now().monotonic;
        self.violation.get_or_insert(Violation { oracle, what, at });
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nobody_honest_is_accused() {
        for seed in 0..60 {
            let (violation, trace) = super::run(seed);
            assert!(violation.is_none(), "seed {seed}: {violation:?}\n{}", trace.join("\n"));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_trace() {
        for seed in [3, 4, 5] {
            assert_eq!(super::run(seed).1, super::run(seed).1, "seed {seed}");
        }
    }
}
