//! The simulation: virtual time, one engine at a time, and everything around it.

mod boot;
mod check;
mod clocks;
mod event_queue;
mod events;
mod finish;
mod heal;
mod operator;
mod requests;
mod token;
mod turns;
mod users;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levi_core::batcher::{Input, PauseReason};
use levi_core::engine::{Effect, Engine, Event, Sealer, Tried};
use levi_core::{ControlSender, EnqueueError, Presence, Receipt, SecretsCache, SentMessage, SyncedError};
use levi_outbox::{LaneKey, RowKey};
use levi_testkit::outbox::OutboxFaults;
use levi_transport::Upsert;
use levi_types::{Monotonic, Now, Wall};
use tokio::sync::{Semaphore, oneshot};

use crate::content::{Content, Keys};
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::model::{Arrival, Model, Violation};
use crate::plan::{DiskFault, Plan, StoreKind};
use crate::random::Random;
use crate::rows::Rows;
use crate::sender::sender;
use crate::server::Server;
use crate::sign_in::{Process, SignInServer};
use boot::{fresh_process, sealer};
use clocks::Reading;
use event_queue::{Occurrence, Scheduled};
use token::{Gate, TokenEvent, TokenInUse};
use users::Senders;
pub(crate) use users::USERS;

/// 2026-01-01T00:00:00Z, where every simulation's wall clock starts.
const START: i64 = 1_767_225_600_000;

/// Turns beyond which a simulation makes no progress.
const MOST_TURNS: u64 = 50_000;

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The first promise that was broken, if any.
    pub violation: Option<Violation>,
    /// What happened, where it was asked for.
    pub trace: Vec<String>,
    /// When each message was stored and when it arrived, by session and sequence number, likewise.
    pub arrivals: BTreeMap<(usize, i64), Arrival>,
    /// What it took.
    pub counts: Counts,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Turns of engines.
    pub turns: u64,
    /// Requests that reached the server.
    pub requests: u64,
    /// Messages stored.
    pub stored: u64,
    /// Messages parked at the end.
    pub parked: u64,
    /// Times the process died or was stopped.
    pub restarts: u64,
}

/// A request under way.
pub(crate) struct Flight {
    pub(crate) rows: Rows,
    pub(crate) insert: Upsert,
    pub(crate) messages: Vec<SentMessage>,
    token: u32,
    /// Under which use of a token it was sent.
    epoch: u64,
    arrived: bool,
}

/// A control row in flight.
pub(crate) struct ControlFlight {
    pub(crate) lane: LaneKey,
    pub(crate) payload: Vec<u8>,
    pub(crate) presence: Presence,
    /// The row's version, as the outbox returned it.
    key: Option<RowKey>,
    token: Option<u32>,
    epoch: u64,
}

/// The text of a message, padded to about so many bytes.
#[derive(Clone, Copy)]
struct Text {
    content: Content,
    size: usize,
}

struct WaitingForDisk {
    event: usize,
    session: usize,
    place: i64,
    content: Content,
    reply: oneshot::Receiver<Result<Receipt, EnqueueError>>,
}

struct WaitingForServer {
    session: usize,
    place: i64,
    version: u32,
    reply: oneshot::Receiver<Result<(), SyncedError>>,
}

/// A caller of session sync.
struct WaitingForStep {
    lane: LaneKey,
    since: Duration,
    tried: oneshot::Receiver<Tried>,
}

/// How long a caller of session sync waits for the first attempt.
const FIRST_ATTEMPTS_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Simulation {
    plan: Plan,
    random: Random,
    now: Duration,
    wall_offset: i64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    incarnation: u64,
    engine: Option<Engine>,
    /// The sealer with which the process enqueues messages.
    sealer: Sealer,
    nonces: Random,
    keys: Arc<Keys>,
    disk: Disk,
    file: Option<PathBuf>,
    _folder: Option<tempfile::TempDir>,
    faults: OutboxFaults,
    disk_fault: Option<(DiskFault, u64)>,
    daemon: Arc<Daemon>,
    daemon_silence: u64,
    server: Server,
    /// Who is signed in or, after a sign-out, was last.
    user: usize,
    /// Whether anybody has signed in yet.
    named: bool,
    /// The process's own knowledge of its user and their keys.
    cache: SecretsCache,
    /// The other user signs in while the engine is in its next turn.
    switches_in_turn: bool,
    switches: usize,
    /// As `blamed`, at the end of the last user's time.
    blamed_before: bool,
    token: Option<u32>,
    needs_operator: bool,
    sign_in: SignInServer,
    process: Process,
    gate: Gate,
    /// What the next turn is told about the token.
    token_events: Vec<TokenEvent>,
    /// Uses of a token: by a sign-in, or again after a wait.
    epoch: u64,
    token_in_use: TokenInUse,
    /// The sign-in server asked Levi not to ask before this; as [`elapsed`](Self::elapsed) time.
    ask_after: Duration,
    /// A token in use was refused in this turn, and is too old to be used again.
    must_refresh: bool,
    /// A token that was accepted before is refused now, and may be replaced.
    may_refresh: bool,
    /// This process does not know the sign-in server's last answer.
    asks_anew: bool,
    /// Levi's clocks at its last turn.
    reading: Option<Reading>,
    /// By how much the wall clock is ahead because of jumps that Levi noticed.
    lead: Duration,
    /// The clocks jumped before this turn.
    awake: bool,
    /// Levi looks at its clocks.
    looks: bool,
    /// The end of a wait that the server asked for, as [`elapsed`](Self::elapsed) time.
    silence: Duration,
    /// The server asked in this turn, which may have sent other requests before.
    asked_now: bool,
    flights: BTreeMap<u64, Flight>,
    control_flights: BTreeMap<u64, ControlFlight>,
    senders: Senders,
    control_sender: Arc<dyn ControlSender>,
    versions: BTreeMap<(usize, i64), u32>,
    /// The latest text of each message, and its size.
    texts: BTreeMap<(usize, i64), Text>,
    /// Messages that the daemon enqueued again with the same text.
    repeated: HashSet<(usize, i64)>,
    waiting_for_disk: Vec<WaitingForDisk>,
    waiting_for_server: Vec<WaitingForServer>,
    waiting_for_steps: Vec<WaitingForStep>,
    queue_room: Arc<Semaphore>,
    die_before_effects: bool,
    stop_at: Option<Monotonic>,
    boots: u64,
    /// Another process wrote to the outbox and did not notify Levi.
    unnotified: bool,
    /// The wall clock jumped since Levi started: what is due by it may not be by Levi's timers.
    jumped: bool,
    healed: bool,
    mended_at: Duration,
    booted_at: Duration,
    events: Vec<Event>,
    paused: Option<PauseReason>,
    /// Levi blamed the project for bad rows, and nothing was accepted since.
    blamed: bool,
    spins: u32,
    idle_turns: u32,
    counts: Counts,
}

impl Simulation {
    /// Runs a plan to its end.
    pub(crate) fn run(plan: &Plan, traced: bool) -> Outcome {
        match Self::new(plan.clone(), traced) {
            Ok(mut simulation) => {
                simulation.live();
                simulation.outcome()
            }
            Err(error) => {
                let at = Monotonic::default();
                let violation = Violation { oracle: "setup", what: error.to_string(), at };
                Outcome {
                    violation: Some(violation),
                    trace: Vec::new(),
                    arrivals: BTreeMap::new(),
                    counts: Counts::default(),
                }
            }
        }
    }

    fn new(plan: Plan, traced: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let setup = &plan.setup;
        let keys = Arc::new(Keys::new(setup.sessions.len(), &mut Random::new(plan.seed, 2)));
        let users = setup.sessions.iter().map(|session| usize::from(session.user)).collect();
        let model = Model::new(setup.config.clone(), Arc::clone(&keys), users, traced);
        let folder = match setup.store {
            StoreKind::SqliteFile => Some(folder()?),
            _ => None,
        };
        let file = folder.as_ref().map(|folder| folder.path().join("outbox.db"));
        let disk = Disk::new(setup.store, file.as_ref(), model)?;
        let daemon = Arc::new(Daemon::new(Arc::clone(&keys), setup.sessions.clone(), disk.clone()));
        let server = Server::new(&setup.sessions, setup.taken_folders);
        let control_sender = sender(&server.tables, daemon.clone());
        let cache = SecretsCache::new();
        let mut simulation = Self {
            random: Random::new(plan.seed, 3),
            sealer: sealer(&plan, &keys, &daemon, &cache),
            nonces: Random::new(plan.seed, 4),
            now: Duration::ZERO,
            wall_offset: START,
            queue: BinaryHeap::new(),
            scheduled: 0,
            incarnation: 0,
            engine: None,
            disk,
            file,
            _folder: folder,
            faults: OutboxFaults::default(),
            disk_fault: None,
            daemon: daemon.clone(),
            daemon_silence: 0,
            server,
            keys,
            user: 0,
            named: setup.signed_in,
            cache,
            switches_in_turn: false,
            switches: 0,
            blamed_before: false,
            token: setup.signed_in.then_some(2),
            needs_operator: !setup.signed_in,
            sign_in: SignInServer::new(),
            process: fresh_process(&plan),
            gate: Gate::Out,
            token_events: Vec::new(),
            epoch: 0,
            token_in_use: TokenInUse::default(),
            ask_after: Duration::ZERO,
            must_refresh: false,
            may_refresh: false,
            asks_anew: true,
            reading: None,
            lead: Duration::ZERO,
            awake: false,
            looks: false,
            silence: Duration::ZERO,
            asked_now: false,
            flights: BTreeMap::new(),
            control_flights: BTreeMap::new(),
            senders: Senders::default(),
            control_sender,
            versions: BTreeMap::new(),
            texts: BTreeMap::new(),
            repeated: HashSet::new(),
            waiting_for_disk: Vec::new(),
            waiting_for_server: Vec::new(),
            waiting_for_steps: Vec::new(),
            queue_room: Arc::new(Semaphore::new(setup.config.max_queued_bytes)),
            die_before_effects: false,
            stop_at: None,
            boots: 0,
            unnotified: false,
            jumped: false,
            healed: false,
            mended_at: Duration::ZERO,
            booted_at: Duration::ZERO,
            events: Vec::new(),
            paused: None,
            blamed: false,
            spins: 0,
            idle_turns: 0,
            counts: Counts::default(),
            plan,
        };
        for index in 0..simulation.plan.events.len() {
            let at = simulation.plan.events[index].at;
            simulation.schedule_at(at, 0, Occurrence::ScheduledEvent(index));
        }
        simulation.schedule_at(simulation.plan.heal_at, 0, Occurrence::Heal);
        simulation.boot();
        Ok(simulation)
    }

    fn schedule_at(&mut self, at: Duration, incarnation: u64, occurrence: Occurrence) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at, nth: self.scheduled, incarnation, occurrence }));
    }

    fn schedule(&mut self, after: Duration, occurrence: Occurrence) {
        let incarnation = self.incarnation;
        self.schedule_at(self.now + after, incarnation, occurrence);
    }

    fn clocks(&self) -> Now {
        let millis = i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX);
        let wall = Wall::from_millis(self.wall_offset.saturating_add(millis));
        Now { monotonic: Monotonic::from_start(self.now), wall }
    }

    fn model<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        act(&mut self.disk.inner().model)
    }

    fn violation(&self) -> Option<Violation> {
        self.model(|model| model.violation.clone())
    }

    fn fail(&self, oracle: &'static str, what: String) {
        self.model(|model| model.fail(oracle, what));
    }

    fn expect(&self, holds: bool, oracle: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(oracle, what());
        }
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.model(|model| model.note(line));
    }
}

/// A folder for a file that need not survive: in memory, if the system has such a folder.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }
}
