//! The batcher: decides what is sent, when, with what else, and what every answer means for the rows it
//! was about. Pure: no I/O, no clock, no randomness, nothing spawned; it sees ids, sizes and verdicts only.
//!
//! # The drain contract
//! Call [`Batcher::handle`] or [`Batcher::handle_timeout`], then [`Batcher::poll_action`] until it answers
//! `None`, then sleep until [`Batcher::poll_timeout`] or the next input.

mod gate;
mod io;
mod lanes;
mod outcome;
mod tasks;
mod trial;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use levi_outbox::{Due, LaneId, Reason, RowHead, RowId};
use levi_types::{Monotonic, Now, Wall};

use self::gate::{Gate, Pause, SignIn};
pub use self::io::{Action, Batch, BatchId, Input, Notice, Part, PauseReason, SealResult, TaskEnd, Touched};
use self::lanes::{Lanes, Limits};
use self::tasks::TaskBoard;
use self::trial::Trial;
use crate::config::LeviConfig;

/// Lanes worked on at once. Those beyond wait on disk and take turns.
const MOST_LANES: usize = 128;

/// The batcher. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Batcher {
    config: LeviConfig,
    lanes: Lanes,
    flights: BTreeMap<BatchId, Flight>,
    last_batch: u64,
    gate: Gate,
    /// One for each code for which rows are refused, until something is accepted.
    trials: Vec<Trial>,
    /// Rows that were set aside and put back: refused once more, they are set aside for good.
    second_look: HashSet<RowId>,
    tasks: TaskBoard,
    /// Whether lanes that are not worked on yet may be due.
    dirty: bool,
    loading: bool,
    /// When a lane that waits on disk becomes due.
    due_timer: Option<Monotonic>,
    /// How often row level security refused a lane's first row by itself, until something of the lane is accepted
    /// or set aside.
    refusals: BTreeMap<LaneId, u32>,
    actions: VecDeque<Action>,
}

/// A batch under way.
#[derive(Debug)]
struct Flight {
    batch: Batch,
    epoch: u64,
}

impl Batcher {
    /// A batcher for a store that may hold rows already, with nobody signed in.
    pub fn new(config: LeviConfig) -> Self {
        Self {
            config,
            lanes: Lanes::default(),
            flights: BTreeMap::new(),
            last_batch: 0,
            gate: Gate::default(),
            trials: Vec::new(),
            second_look: HashSet::new(),
            tasks: TaskBoard::new(),
            dirty: true,
            loading: false,
            due_timer: None,
            refusals: BTreeMap::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, now: Now, input: Input) {
        let paused_before = self.gate.reason();
        match input {
            Input::Wake(touched) => self.wake(touched),
            Input::Loaded(due) => self.loaded(now, due),
            Input::LaneLoaded { lane, after, rows, complete } => {
                let flush_at = rows.first().map_or(now.monotonic, |row| self.flush_at(now, row));
                self.lanes.extend(lane, after, rows, complete, flush_at);
            }
            Input::Outcome { batch, result, culprits, draw } => {
                self.outcome(now, batch, result, &culprits, draw);
            }
            Input::Vanished { batch } => self.vanished(batch),
            Input::Sealed { lane, result, draw } => self.sealed(now, lane, result, draw),
            Input::TasksLoaded(due) => self.tasks.loaded(now, due, self.config.longest_delay()),
            Input::TaskEnded { name, version, attempts, end, draw } => {
                self.task_ended(now, (name, version, attempts), end, draw);
            }
            Input::SignInStored if self.gate.sign_in == SignIn::Out => {
                self.gate.sign_in = SignIn::Refreshing;
                self.gate.taking_up_stored = true;
                self.actions.push_back(Action::Refresh);
            }
            // Somebody was quicker.
            Input::SignInStored => {}
            Input::SignedIn => self.signed_in(now),
            Input::SignedOut => self.gate.sign_in = SignIn::Out,
            Input::RefreshFailed { transient, draw } => self.refresh_failed(now, transient, draw),
            Input::StoreFailed { reason, draw } => self.store_failed(now, reason, draw),
            Input::Committed => self.gate.outbox_attempts = 0,
            Input::NetworkChanged => self.network_changed(now.wall),
            Input::Stop => {
                self.gate.stopping = true;
                self.dirty = true;
            }
        }
        self.advance(now);
        self.notice_pause(paused_before);
    }

    /// Tells the batcher what time it is.
    pub fn handle_timeout(&mut self, now: Now) {
        let paused_before = self.gate.reason();
        let expired = self.gate.expire(now.monotonic);
        if expired.refresh {
            self.actions.push_back(Action::Refresh);
        }
        if expired.outbox {
            self.actions.push_back(Action::Commit);
        }
        if expired.outbox || expired.project || self.due_timer.is_some_and(|at| at <= now.monotonic) {
            self.due_timer = None;
            self.dirty = true;
        }
        self.tasks.expire(now.monotonic);
        self.advance(now);
        self.notice_pause(paused_before);
    }

    /// What to do next, in order. `None`: nothing until the next input or timeout.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None`: sleep until there is an input.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        let work = if self.gate.is_open() {
            let room = self.flights.len() < self.gate.most_in_flight(self.config.max_in_flight);
            let flush = self.lanes.flush_at().filter(|_| room);
            let tasks = self.tasks.timer().filter(|_| !self.tasks.running);
            [flush, self.due_timer, tasks].into_iter().flatten().min()
        } else {
            None
        };
        [self.gate.timer(), work].into_iter().flatten().min()
    }

    /// Lanes that the answer to [`Action::Load`] must leave out: those worked on, and those about which something
    /// was decided that may not be on disk.
    pub fn lanes_at_hand(&self) -> Vec<LaneId> {
        self.lanes.known()
    }

    /// Whether requests may go out now.
    pub fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// Whether the outbox may be asked now, or failed so recently that it is left alone.
    pub fn trusts_outbox(&self) -> bool {
        self.gate.outbox.is_none()
    }

    /// Why nothing is being sent, if so.
    pub fn paused(&self) -> Option<PauseReason> {
        self.gate.reason()
    }

    /// Requests (batches, and the task that runs) and rows under way.
    pub fn in_flight(&self) -> (usize, usize) {
        let requests = self.flights.len() + usize::from(self.tasks.running);
        (requests, self.flights.values().map(|flight| flight.batch.rows()).sum())
    }

    /// Whether nothing is under way and nothing more can be sent now: all that could leave has left.
    pub fn is_drained(&self) -> bool {
        let idle = self.flights.is_empty() && !self.tasks.running;
        let nothing_due =
            !self.dirty && !self.loading && self.lanes.ready_rows(1) == 0 && self.tasks.is_quiet();
        idle && (nothing_due || !self.gate.is_open())
    }

    fn wake(&mut self, touched: Touched) {
        self.dirty = true;
        self.tasks.dirty = true;
        match touched {
            Touched::Anything => self.lanes.distrust(),
            Touched::Sessions(sessions) => {
                for (session, lowest) in sessions {
                    self.lanes.touch(&session, lowest);
                }
            }
        }
    }

    fn loaded(&mut self, now: Now, due: Due) {
        self.loading = false;
        // What was left out may be due again: it is asked for by itself.
        self.dirty = due.more || self.lanes.some_gone();
        self.gate.outbox_attempts = 0;
        for lane in due.lanes {
            let flush_at = lane.heads.first().map_or(now.monotonic, |row| self.flush_at(now, row));
            self.lanes.insert(lane, flush_at);
        }
        if let Some(at) = due.next_due {
            let wait = at.since(now.wall).min(self.config.longest_delay());
            self.due_at_latest(now.monotonic.after(wait));
        }
    }

    fn signed_in(&mut self, now: Now) {
        let stored = std::mem::take(&mut self.gate.taking_up_stored);
        let refreshed = self.gate.sign_in == SignIn::Refreshing && !stored;
        self.gate.refreshed_at = refreshed.then_some(now.monotonic);
        self.gate.sign_in = SignIn::In;
        self.gate.epoch += 1;
        self.dirty = true;
        self.tasks.dirty = true;
    }

    fn refresh_failed(&mut self, now: Now, transient: bool, draw: f64) {
        if self.gate.sign_in != SignIn::Refreshing {
            return;
        }
        if transient {
            self.gate.refresh_attempts = self.gate.refresh_attempts.saturating_add(1);
            let delay = self.config.backoff().delay(self.gate.refresh_attempts, draw);
            self.gate.sign_in = SignIn::RefreshAt(now.monotonic.after(delay));
        } else {
            self.gate.sign_in = SignIn::Out;
        }
    }

    fn store_failed(&mut self, now: Now, reason: Reason, draw: f64) {
        self.gate.outbox_attempts = self.gate.outbox_attempts.saturating_add(1);
        let delay = self.config.backoff().delay(self.gate.outbox_attempts, draw);
        self.gate.outbox = Some(Pause {
            reason: PauseReason::Outbox { code: reason.code },
            until: now.monotonic.after(delay),
        });
        self.lanes.forget_idle();
        self.tasks.forget();
        self.loading = false;
        self.dirty = true;
    }

    fn network_changed(&mut self, at: Wall) {
        self.gate.network_changed();
        self.actions.push_back(Action::Commit);
        self.actions.push_back(Action::RetryNow { at });
        self.dirty = true;
        self.tasks.dirty = true;
    }

    /// Everything that follows from the present state.
    fn advance(&mut self, now: Now) {
        if self.gate.outbox.is_some() {
            return;
        }
        for (lane, session_id) in self.lanes.take_unsealed() {
            self.actions.push_back(Action::Seal { lane, session_id });
        }
        self.convict_if_none_is_left(now);
        if !self.gate.is_open() {
            return;
        }
        self.send(now);
        self.load();
        self.run_tasks();
    }

    fn send(&mut self, now: Now) {
        while self.flights.len() < self.gate.most_in_flight(self.config.max_in_flight) {
            let backlog = 2 * self.config.batch_size;
            let ready = self.lanes.ready_rows(backlog);
            let waited = self.lanes.flush_at().is_some_and(|at| at <= now.monotonic);
            if ready == 0 || !(waited || self.gate.stopping || ready >= self.config.batch_size) {
                return;
            }
            let catching_up = ready >= backlog || self.lanes.ready_lane_has_more();
            let rows = if catching_up { self.config.catch_up_batch_size } else { self.config.batch_size };
            let rows = if self.gate.trouble > 1 { self.gate.narrowed(self.config.batch_size) } else { rows };
            let limits = Limits { rows, bytes: self.gate.narrowed(self.config.max_batch_bytes) };
            let flush_interval = self.config.flush_interval;
            let parts = self.lanes.draft(limits, |row| flush_at(now, row, flush_interval));
            if parts.is_empty() {
                return;
            }
            self.last_batch += 1;
            let batch = Batch { id: BatchId(self.last_batch), parts };
            self.flights.insert(batch.id, Flight { batch: batch.clone(), epoch: self.gate.epoch });
            self.actions.push_back(Action::Send(batch));
        }
    }

    fn load(&mut self) {
        let most = self.config.catch_up_batch_size;
        for (lane, after, limit) in self.lanes.take_low(most, 2 * most) {
            self.actions.push_back(Action::LoadLane { lane, after, limit });
        }
        let room = MOST_LANES.saturating_sub(self.lanes.len());
        if self.dirty && !self.loading && room > 0 {
            self.loading = true;
            self.lanes.asking();
            self.actions.push_back(Action::Load {
                max_lanes: room,
                heads_per_lane: 2 * most,
                max_heads: 4 * most * self.config.max_in_flight,
            });
        }
    }

    fn run_tasks(&mut self) {
        if self.tasks.running {
            return;
        }
        if let Some(task) = self.tasks.next() {
            self.tasks.epoch = self.gate.epoch;
            self.actions.push_back(Action::RunTask(task));
        } else if self.tasks.dirty && !self.tasks.asked {
            self.tasks.dirty = false;
            self.tasks.asked = true;
            self.actions.push_back(Action::LoadTasks);
        }
    }

    fn defer(&mut self, now: Now, lane: LaneId, wait: Wait<'_>) {
        let attempts = self.lanes.lane(lane).map_or(1, |lane| lane.attempts.saturating_add(1));
        let delay = self.config.backoff().delay(attempts, wait.draw);
        let delay = delay.max(wait.at_least.min(self.config.longest_delay()));
        self.actions.push_back(Action::Defer {
            lane,
            due_at: now.wall.after(delay),
            attempts,
            reason: wait.reason.clone(),
        });
        self.lanes.remove(lane);
        self.due_at_latest(now.monotonic.after(delay));
        self.actions.push_back(Action::Notice(Notice::Delayed { delay, code: wait.reason.code.clone() }));
    }

    fn due_at_latest(&mut self, at: Monotonic) {
        self.due_timer = Some(self.due_timer.map_or(at, |timer| timer.min(at)));
    }

    fn flush_at(&self, now: Now, row: &RowHead) -> Monotonic {
        flush_at(now, row, self.config.flush_interval)
    }

    fn notice_pause(&mut self, before: Option<PauseReason>) {
        let after = self.gate.reason();
        if before != after {
            let notice = after.map_or(Notice::Resumed, Notice::Paused);
            self.actions.push_back(Action::Notice(notice));
        }
    }
}

/// How and why a lane waits.
#[derive(Clone, Copy, Debug)]
struct Wait<'a> {
    reason: &'a Reason,
    at_least: Duration,
    draw: f64,
}

/// When a row has waited long enough for company: `flush_interval` after it was handed in. The wall clock
/// only shortens that wait, so a clock that jumped can neither hold a row back nor hurry it by more than one
/// interval.
fn flush_at(now: Now, row: &RowHead, flush_interval: Duration) -> Monotonic {
    let waited = now.wall.since(row.enqueued_at);
    now.monotonic.after(flush_interval.saturating_sub(waited))
}
