//! The engine: one turn takes in what happened, asks the batcher, does what it says to the outbox, and
//! returns what must be done outside. It blocks on the disk only. It owns no thread, no clock and no socket, so
//! the simulator drives this very code.

mod act;
mod commit;
mod committed_batch;
mod event;
mod outcome;
mod receipts;
mod refused;
mod refused_secret;
mod removal;
mod sent;
mod space;
mod steps;
mod stored;
mod waits;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use levi_outbox::{Change, LaneKey, OutboxError, OutboxStore, RecoveryReport};
use levi_types::{Monotonic, Now, SessionId, SessionStore, Tick, Timeline};
use rand_core::CryptoRng;
use tokio::sync::oneshot;

#[cfg(test)]
pub(crate) use self::committed_batch::Waiter;
pub use self::committed_batch::{CommittedBatch, Receipt, Stored, Tried};
pub use self::event::{ControlIntake, Effect, Event, Intake};
pub(crate) use self::stored::open_sealed;
pub use self::stored::{StoredError, StoredKeys, open_stored};

use self::commit::Uncommitted;
use self::receipts::Receipts;
use self::sent::Sent;
use self::space::{GiveBack, Turn};
use self::steps::Steps;
use crate::batcher::{Batch, BatchId, Batcher, Input, Written};
use crate::config::LeviConfig;
use crate::device_list::SignedDeviceList;
use crate::error::EnqueueError;
pub use crate::sealer::{Message, Sealer};
pub use crate::secrets_cache::HighestKnown;
use crate::status::Status;

/// The most parked parents that the status lists.
const MAX_PARKED_PARENTS: usize = 100;

/// A caller that asks for the highest sequence number of a session here.
struct LastNumberQuestion {
    session: SessionId,
    reply: oneshot::Sender<Result<Option<i64>, EnqueueError>>,
}

/// What an engine is made of.
pub struct EngineParts {
    /// The batching, retry and size settings.
    pub config: LeviConfig,
    /// The queue on disk.
    pub outbox: Box<dyn OutboxStore>,
    /// The daemon's own store.
    pub session_store: Arc<dyn SessionStore>,
    /// Seals messages whose session's key was not cached when they were enqueued.
    pub sealer: Sealer,
    /// The source of nonces, and of the seed for the jitter.
    pub random: Box<dyn CryptoRng + Send>,
}

/// The engine. See the [module](self).
pub struct Engine {
    config: LeviConfig,
    batcher: Batcher,
    store: Box<dyn OutboxStore>,
    session_store: Arc<dyn SessionStore>,
    sealer: Sealer,
    random: Box<dyn CryptoRng + Send>,
    uncommitted: Uncommitted,
    receipts: Receipts,
    steps: Steps,
    /// The callers that ask for the last sequence number of a session.
    asked: Vec<LastNumberQuestion>,
    /// The messages of the batches in flight.
    sent: HashMap<BatchId, Vec<Sent>>,
    /// The messages of the batches whose outcome came in this turn: some may be parked.
    parkable: Vec<Sent>,
    /// The sessions whose secret some devices could not be given at the last attempt.
    incomplete_secrets: HashSet<LaneKey>,
    /// The sessions whose messages wait because the server has another secret of them.
    held_sessions: HashSet<SessionId>,
    /// The outbox's last failure, until a commit succeeds.
    outbox_error: Option<Arc<OutboxError>>,
    status: Status,
    /// Whether the status may differ from the one that was last published.
    changed: bool,
    /// Whether a commit succeeded since.
    committed: bool,
    /// Whether other rows may be held for other users than the status says.
    held_changed: bool,
    /// What the lanes waited for when that was last read.
    waiting: waits::Waits,
    /// Whether rows were removed in this turn.
    removed: bool,
    /// When acknowledged rows that wait for others are removed at the latest.
    removal_at: Option<Monotonic>,
    stop_at: Option<Monotonic>,
    /// Whether it was read what an earlier process was waiting for.
    knows_waits: bool,
    /// All times of the engine and its batcher are on this line.
    timeline: Timeline,
    give_back: GiveBack,
}

/// Does outside the engine what it decided.
type Perform<'a> = &'a mut dyn FnMut(Effect);

impl Engine {
    /// An engine on an open outbox, with nobody signed in.
    pub fn new(parts: EngineParts) -> Self {
        let EngineParts { config, outbox, session_store, sealer, mut random } = parts;
        // Where it cannot be read, edits of what was sent before this start are refused, and nothing is overwritten.
        // A device that lost its outbox knows its own messages by its database key.
        let of_device = sealer.database_key().map(levi_crypto::writer_of);
        let writer = of_device.or_else(|| outbox.writer().ok().flatten());
        sealer.write_as(writer.unwrap_or_else(|| {
            let mut writer = [0; levi_crypto::WRITER_BYTES];
            random.fill_bytes(&mut writer);
            writer
        }));
        // An outbox that cannot be read says so when something is loaded.
        let user = outbox.user().ok().flatten();
        let mut engine = Self {
            batcher: Batcher::new(config.clone(), random.next_u64()).for_user(user),
            config,
            store: outbox,
            session_store,
            sealer,
            random,
            uncommitted: Uncommitted::default(),
            receipts: Receipts::default(),
            steps: Steps::default(),
            asked: Vec::new(),
            sent: HashMap::new(),
            parkable: Vec::new(),
            incomplete_secrets: HashSet::new(),
            held_sessions: HashSet::new(),
            outbox_error: None,
            status: Status::default(),
            changed: true,
            committed: false,
            held_changed: true,
            waiting: waits::Waits::default(),
            removed: false,
            removal_at: None,
            stop_at: None,
            knows_waits: false,
            timeline: Timeline::default(),
            give_back: GiveBack::default(),
        };
        engine.look_at_opened();
        engine
    }

    /// Takes in what happened and returns what is to be done outside.
    pub fn turn(&mut self, now: Now, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.turn_with(now, events, &mut |effect| effects.push(effect));
        effects
    }

    /// As [`turn`](Self::turn), but hands each effect to `perform` as soon as it is decided, so that a request is
    /// on its way while the disk takes what the turn commits.
    pub fn turn_with(&mut self, read: Now, events: impl IntoIterator<Item = Event>, perform: Perform<'_>) {
        let Tick { now, jumped } = self.timeline.advance(read);
        if jumped {
            self.awake(now, perform);
        }
        self.waiting.now = now.wall;
        let mut turn = Turn::default();
        for event in events {
            (self.changed, turn.had_events) = (true, true);
            self.take(now, event);
        }
        // After the messages of this turn, which count.
        for LastNumberQuestion { session, reply } in std::mem::take(&mut self.asked) {
            // The caller may be gone.
            let _ = reply.send(self.last_number(&session));
        }
        if self.batcher.poll_timeout().is_some_and(|at| at <= now.monotonic) {
            self.changed = true;
            self.batcher.handle_timeout(now);
        }
        // Before anything is sent.
        if !self.knows_waits && self.batcher.trusts_outbox() {
            self.read_waits(now);
        }
        self.run(now, perform);
        self.parkable.clear();
        self.complete_steps(now);
        // Reports of refusals that change nothing on disk, or that a failing disk holds up.
        let reports = std::mem::take(&mut self.uncommitted.reports);
        self.record(&reports);
        if self.stop_at.is_some_and(|deadline| deadline <= now.monotonic) {
            // A disk that works again keeps what was accepted while it failed.
            self.try_to_commit(now, perform);
        }
        turn.removed = std::mem::take(&mut self.removed);
        self.keep_space(now.monotonic, turn);
        self.status.next_attempt =
            self.batcher.poll_timeout().map(|at| now.wall.after(at.since(now.monotonic)));
    }

    /// Completes the callers that wait for the server. Called after the status was published, so that they find
    /// the outcome there.
    pub fn announce(&mut self) {
        self.receipts.announce();
        self.steps.announce();
    }

    /// When [`turn`](Self::turn) must be called even if nothing happens, by the monotonic clock. `None`: not before
    /// something does.
    pub fn timeout(&self) -> Option<Monotonic> {
        let timers = [
            self.batcher.poll_timeout(),
            self.steps.next_deadline(),
            self.stop_at,
            self.give_back.timeout(),
            self.removal_timeout(),
        ];
        timers.into_iter().flatten().min().map(|at| self.timeline.on_monotonic_clock(at))
    }

    /// Whether a stop was asked for and all that could be done is done, or its time is over.
    pub fn is_finished(&self, read: Now) -> bool {
        let Some(deadline) = self.stop_at.map(|at| self.timeline.on_monotonic_clock(at)) else {
            return false;
        };
        let drained = self.batcher.is_drained() && self.uncommitted.is_empty();
        drained || deadline <= read.monotonic
    }

    /// The outbox was damaged when it was opened.
    pub fn recovered(&mut self, report: RecoveryReport) {
        tracing::error!("{report}");
        self.status.recovered = Some(report);
        self.changed = true;
    }

    /// Messages accepted by `enqueue` that are not on disk.
    pub fn not_stored(&self) -> usize {
        self.uncommitted.held()
    }

    /// The present status, if it may have changed since it was last asked for.
    pub fn status_if_changed(&mut self) -> Option<Status> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        // A failing outbox keeps the counts of before; the failure itself is in the status.
        let committed = std::mem::take(&mut self.committed);
        let at_hand = if committed { self.store.totals_as_committed() } else { None };
        if let Some(totals) = at_hand.or_else(|| self.store.totals().ok()) {
            self.status.totals = totals;
        }
        self.status.parked_parents = match self.status.totals.parked_control_rows {
            0 => Vec::new(),
            // What cannot be read is left as it was.
            _ => self
                .store
                .parked_parents(MAX_PARKED_PARENTS)
                .unwrap_or_else(|_| self.status.parked_parents.clone()),
        };
        if self.held_changed
            && let Ok(held) = self.store.held()
        {
            let held_bytes = if held.is_empty() { Ok(0) } else { self.store.held_bytes() };
            self.status.held = held;
            self.held_changed = held_bytes.is_err();
            self.status.held_bytes = held_bytes.unwrap_or(self.status.held_bytes);
        }
        self.count_waiting();
        self.status.user_id = self.batcher.user().cloned();
        self.status.requests_in_flight = self.batcher.in_flight().len();
        self.status.rows_in_flight = self.batcher.in_flight().map(Batch::rows).sum();
        self.status.paused = self.batcher.paused();
        self.status.incomplete_secrets = self.incomplete_secrets.len() as u64;
        self.status.held_in_memory = self.uncommitted.held();
        self.status.device_list = self.sealer.device_list().map(SignedDeviceList::state).unwrap_or_default();
        self.status.outbox_failure = self.outbox_error.as_deref().map(commit::reason_of);
        Some(self.status.clone())
    }

    /// The wall clock jumped against the monotonic one: the machine slept, and the network may be another one.
    fn awake(&mut self, now: Now, perform: Perform<'_>) {
        tracing::info!("the clocks jumped, as after a sleep: waits are over");
        self.changed = true;
        perform(Effect::Awake);
        self.batcher.handle(now, Input::NetworkChanged);
    }

    fn take(&mut self, now: Now, event: Event) {
        match event {
            Event::Enqueue(intake) => self.enqueue(now, intake),
            Event::EnqueueControl { rows, within } => self.enqueue_control(rows, within),
            Event::Input(input) => {
                let input = match input {
                    Input::Outcome { batch, result } => {
                        let result = self.with_refused_secret(now, batch, result);
                        Input::Outcome { batch, result }
                    }
                    input => input,
                };
                match &input {
                    Input::Outcome { batch, result } => self.note_outcome(now, *batch, result),
                    Input::Taken { batch, rows } => self.note_taken(*batch, rows),
                    Input::Vanished { batch } => {
                        self.sent.remove(batch);
                    }
                    Input::User(_) => {
                        self.held_changed = true;
                        self.waiting.changed = true;
                        self.steps.rows_may_be_stuck();
                    }
                    _ => {}
                }
                self.batcher.handle(now, input);
            }
            Event::Watch { receipt, reply } => match receipt.row {
                Some(row) => self.receipts.watch(&*self.store, row.id, reply),
                None => self.receipts.done(reply),
            },
            Event::LastNumber { session, reply } => {
                self.asked.push(LastNumberQuestion { session, reply });
            }
            Event::KeyArrived(session_id) => {
                let lane = LaneKey::Messages(session_id);
                self.uncommitted.change(Change::RetryLane { lane, at: now.wall });
                self.uncommitted.wakes = true;
            }
            Event::WrittenElsewhere => {
                self.held_changed = true;
                self.waiting.changed = true;
                self.batcher.handle(now, Input::Wake(Written::Unknown));
                self.receipts.check_all(&*self.store);
                self.steps.rows_may_be_stuck();
            }
            Event::Stop { within } => {
                self.stop_at = Some(now.monotonic.after(within));
                self.batcher.handle(now, Input::Stop);
            }
        }
    }

    /// The highest sequence number of a session here: in the outbox, on its way there, or sent as the daemon's store
    /// records it.
    pub(super) fn last_number(&self, session: &SessionId) -> Result<Option<i64>, EnqueueError> {
        let stored = self.store.last_sequence_number(session);
        let stored = stored.map_err(|error| EnqueueError::Outbox(Arc::new(error)))?;
        Ok(stored.max(self.last_sent(session)).max(self.uncommitted.last_number(session)))
    }

    /// What the daemon's store has as sent.
    pub(super) fn last_sent(&self, session: &SessionId) -> Option<i64> {
        self.session_store.last_sent(session).unwrap_or_else(|error| {
            tracing::warn!("the session store cannot say what was sent: {error}");
            None
        })
    }
}
