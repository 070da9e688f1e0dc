//! The batcher decides what is sent, when and together with what, and what each response means for the
//! rows of its request. It does no I/O, reads no clock and spawns nothing; its only randomness is the jitter
//! that the seed determines. It sees ids, sizes and verdicts only.
//!
//! # The drain contract
//! Call [`Batcher::handle`] or [`Batcher::handle_timeout`], then [`Batcher::poll_action`] until it
//! returns `None`, then sleep until [`Batcher::poll_timeout`] or the next input.

mod auth_gate;
mod breaker;
mod flush;
mod io;
mod lane;
mod lane_windows;
mod lone_failures;
mod notice;
mod outcome;
mod parents;
mod poison;
mod questions;
mod search;
mod send;
mod senders;
mod storage_gate;
mod taken;
mod user;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use levi_outbox::{Change, Due, DueLane, LaneId, Reason, RowHead};
use levi_types::{Monotonic, Now, UserId, Wall};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};

use self::auth_gate::{AuthGate, Next};
use self::breaker::Breaker;
use self::flush::FlushRate;
pub use self::io::{Action, Batch, BatchId, Input, LaneRows, Parent, Part, SealResult, Written, WrittenLane};
use self::lane_windows::LaneWindows;
use self::lone_failures::LoneFailures;
pub use self::notice::{Notice, PauseReason};
use self::parents::Refusals;
use self::poison::Poison;
use self::senders::Senders;
use self::storage_gate::StorageGate;
use crate::config::LeviConfig;

/// The greatest number of lanes at hand. Others wait on disk and take turns.
const MAX_LANES: usize = 128;

/// The batcher. The [module](self) says how to drive it.
#[derive(Debug)]
pub struct Batcher {
    config: LeviConfig,
    random: Jitter,
    /// The time of the last call.
    now: Now,
    windows: LaneWindows,
    in_flight: BTreeMap<BatchId, Batch>,
    last_batch: u64,
    auth: AuthGate,
    /// For whom rows are sent; `None`: nobody was named yet.
    user: Option<UserId>,
    user_changes: u64,
    breaker: Breaker,
    flush_rate: FlushRate,
    storage: StorageGate,
    poison: Poison,
    /// The searches for bad rows of users who are not signed in.
    searches_of_others: BTreeMap<UserId, Poison>,
    lone_failures: LoneFailures,
    refusals: Refusals,
    senders: Senders,
    /// Whether the last request sent a control row.
    control_row_was_last: bool,
    stopping: bool,
    /// Whether lanes that are not at hand may be due.
    dirty: bool,
    loading: bool,
    /// When a lane that waits on disk becomes due.
    due_timer: Option<Monotonic>,
    actions: VecDeque<Action>,
}

/// The random numbers of the delays' jitter.
#[derive(Debug)]
struct Jitter(Xoshiro256PlusPlus);

impl Jitter {
    /// A number from 0 up to but not including 1.
    fn draw(&mut self) -> f64 {
        self.0.random()
    }
}

impl Batcher {
    /// A batcher for a store that may hold rows already, with nobody signed in. `seed` determines the
    /// jitter of its delays.
    pub fn new(config: LeviConfig, seed: u64) -> Self {
        Self {
            flush_rate: FlushRate::new(&config),
            config,
            random: Jitter(Xoshiro256PlusPlus::seed_from_u64(seed)),
            now: Now::default(),
            windows: LaneWindows::default(),
            in_flight: BTreeMap::new(),
            last_batch: 0,
            auth: AuthGate::new(),
            user: None,
            user_changes: 0,
            breaker: Breaker::new(),
            storage: StorageGate::new(),
            poison: Poison::default(),
            searches_of_others: BTreeMap::new(),
            lone_failures: LoneFailures::default(),
            refusals: Refusals::default(),
            senders: Senders::default(),
            control_row_was_last: false,
            stopping: false,
            dirty: true,
            loading: false,
            due_timer: None,
            actions: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = now;
        let paused_before = self.paused();
        match input {
            Input::Wake(written) => self.wake(written),
            Input::Loaded(due) => self.loaded(now, due),
            Input::LaneLoaded(loaded) => {
                let flush_at = self.flush_at_of(loaded.rows.first());
                self.windows.extend(loaded, flush_at);
            }
            Input::Outcome { batch, result } => self.outcome(now, batch, result),
            Input::Taken { batch, rows } => self.taken(now, batch, rows),
            Input::Vanished { batch } => self.vanished(batch),
            Input::HeldBack { batch, lanes } => self.held_back(now, batch, lanes),
            Input::Sealed { lane, result } => self.sealed(now, lane, result),
            Input::ParentEnsured { key, parent } => self.parent_ensured(now, &key, parent),
            Input::ControlSenderReady(user) => {
                self.senders.add(user);
                self.windows.release_held_back();
                self.dirty = true;
            }
            Input::SignInStored => {
                if self.auth.adopt_stored() {
                    self.actions.push_back(Action::Refresh);
                }
            }
            Input::SignedIn => {
                self.auth.signed_in(now.monotonic);
                self.dirty = true;
            }
            Input::SignedOut => self.auth.signed_out(),
            Input::User(user) => self.user_is(user),
            Input::SignedInUnnamed => self.signed_in_unnamed(now),
            Input::UserUnknown => self.auth.user_unknown(),
            Input::RefreshUnavailable { retry_after } => {
                let asked = self.bounded(retry_after);
                let (backoff, random) = (self.config.backoff(), &mut self.random);
                let delay = |waits| backoff.delay(waits, random.draw());
                self.auth.refresh_unavailable(now.monotonic, asked, delay);
            }
            Input::RefreshImpossible => {
                let (backoff, random) = (self.config.backoff(), &mut self.random);
                self.auth.refresh_impossible(now.monotonic, |waits| backoff.delay(waits, random.draw()));
            }
            Input::RefreshRefused => self.auth.refresh_refused(),
            Input::Paused { until } => self.paused_before(now, until),
            Input::FailedAlone { lanes, parked_on_probes } => {
                self.lone_failures.restore(lanes, parked_on_probes);
            }
            Input::StoreFailed(reason) => self.store_failed(now, reason),
            Input::Committed => self.storage.worked(),
            Input::NetworkChanged => self.network_changed(now),
            Input::Stop => {
                self.stopping = true;
                self.dirty = true;
            }
        }
        self.advance(now);
        self.notice_pause(paused_before);
    }

    /// Tells the batcher what time it is.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        let paused_before = self.paused();
        if self.auth.expire(now.monotonic) == Some(Next::Refresh) {
            self.actions.push_back(Action::Refresh);
        }
        let storage_expired = self.storage.expire(now.monotonic);
        if storage_expired {
            self.actions.push_back(Action::RetryCommit);
        }
        let breaker_expired = self.breaker.expire(now.monotonic);
        let lanes_are_due = self.due_timer.is_some_and(|at| at <= now.monotonic);
        if storage_expired || breaker_expired || lanes_are_due {
            self.due_timer = None;
            self.dirty = true;
        }
        self.advance(now);
        self.notice_pause(paused_before);
    }

    /// The next action, in order. `None`: nothing to do until the next input or timeout.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front().or_else(|| self.next_request())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None`: sleep until there is an input.
    pub fn poll_timeout(&self) -> Option<Monotonic> {
        // A paused project needs no timer while nobody is signed in.
        let breaker = self.breaker.timer().filter(|_| self.auth.is_open());
        let work = if self.is_open() {
            let flush = self.next_flush().filter(|_| self.has_room());
            [flush, self.due_timer].into_iter().flatten().min()
        } else {
            None
        };
        [self.storage.timer(), self.auth.timer(), breaker, work].into_iter().flatten().min()
    }

    fn wake(&mut self, written: Written) {
        self.dirty = true;
        match written {
            Written::Unknown => self.windows.invalidate_all(),
            Written::Lanes(lanes) => {
                for WrittenLane { lane, lowest } in lanes {
                    if lane.kind().is_control() {
                        self.refusals.replaced(&lane);
                    }
                    self.windows.note_write(&lane, lowest);
                }
            }
        }
    }

    fn loaded(&mut self, now: Now, due: Due) {
        self.loading = false;
        // What was left out may be due again: it is asked for by itself.
        self.dirty = due.more || self.windows.some_were_left_out();
        self.storage.worked();
        for lane in due.lanes {
            if lane.key.kind().is_control() && !self.can_send_control_rows() {
                self.windows.hold_back(lane.lane);
                continue;
            }
            if self.asks_for_parent(&lane) {
                continue;
            }
            let flush_at = self.flush_at_of(lane.heads.first());
            let (id, apart) = (lane.lane, self.rows_to_send_apart(&lane));
            self.windows.insert(lane, flush_at);
            if let Some(rows) = apart {
                self.windows.send_apart(id, rows);
            }
        }
        if let Some(at) = due.next_due {
            let wait = at.since(now.wall).min(self.config.longest_delay());
            self.due_at_latest(now.monotonic.after(wait));
        }
    }

    /// For a lane with a row that fails while others may not: how many of its rows are known to have it among them.
    fn rows_to_send_apart(&self, lane: &DueLane) -> Option<usize> {
        let first = lane.heads.first()?.key;
        let failed = self.lone_failures.rows_that_failed(lane.lane, first);
        failed.or_else(|| self.refusals.has_counted(&lane.key).then_some(1))
    }

    fn store_failed(&mut self, now: Now, reason: Reason) {
        let (backoff, random) = (self.config.backoff(), &mut self.random);
        self.storage.failed(now.monotonic, reason.code, |attempts| backoff.delay(attempts, random.draw()));
        self.windows.forget_idle();
        self.loading = false;
        self.dirty = true;
    }

    /// An earlier process was asked for a wait. One that is longer than any is was stored while the clock was ahead: it is
    /// stored anew, or every start would wait for it.
    fn paused_before(&mut self, now: Now, until: Wall) {
        let asked = until.since(now.wall);
        let left = self.bounded(Some(asked));
        let reason = PauseReason::RetryAfter { code: "retry_after".to_owned() };
        self.breaker.open(now.monotonic.after(left), reason);
        if left < asked {
            self.keep_pause(now, left);
        } else {
            self.breaker.asked(now.monotonic.after(left));
        }
    }

    fn network_changed(&mut self, now: Now) {
        self.auth.network_changed();
        self.breaker.network_changed(now.monotonic);
        self.storage.network_changed();
        self.actions.push_back(Action::RetryCommit);
        self.commit(Change::RetryNow { at: now.wall });
        self.dirty = true;
    }

    /// What follows from the present state, apart from requests and loads, which are decided when they are
    /// polled for.
    fn advance(&mut self, now: Now) {
        if !self.storage.is_open() {
            return;
        }
        self.actions.extend(self.windows.lanes_to_seal());
        self.blame_project_if_no_row_is_left(now);
    }

    fn commit(&mut self, change: Change) {
        self.actions.push_back(Action::Commit(change));
    }

    /// The lane waits for its next attempt.
    fn defer(&mut self, now: Now, lane: LaneId, reason: Reason, at_least: Duration) {
        let attempts = self.windows.lane(lane).map_or(1, |lane| lane.attempts.saturating_add(1));
        let delay = self.config.backoff().delay(attempts, self.random.draw());
        let delay = delay.max(at_least);
        let code = reason.code.clone();
        self.commit(Change::Defer { lane, due_at: now.wall.after(delay), attempts, reason });
        self.windows.remove(lane);
        self.due_at_latest(now.monotonic.after(delay));
        self.actions.push_back(Action::Notice(Notice::Delayed { delay, code }));
    }

    /// The wait that a server asked for. One answer must not stop everything for longer than Levi's own delays do.
    fn bounded(&self, retry_after: Option<Duration>) -> Duration {
        retry_after.unwrap_or_default().min(self.config.longest_delay())
    }

    fn due_at_latest(&mut self, at: Monotonic) {
        self.due_timer = Some(self.due_timer.map_or(at, |timer| timer.min(at)));
    }

    /// When the lane of this first row stops waiting for a fuller batch.
    fn flush_at_of(&self, row: Option<&RowHead>) -> Monotonic {
        row.map_or(self.now.monotonic, |row| flush_at(self.now, row, self.config.flush_interval))
    }

    fn notice_pause(&mut self, before: Option<PauseReason>) {
        let after = self.paused();
        if before == after {
            return;
        }
        let notice = after.map(Notice::Paused).or_else(|| before.map(Notice::Resumed));
        self.actions.extend(notice.map(Action::Notice));
    }
}

/// When a row has waited long enough for a fuller batch: `flush_interval` after it was enqueued. The wall
/// clock only shortens that wait, so a clock that jumped changes it by at most one interval.
fn flush_at(now: Now, row: &RowHead, flush_interval: Duration) -> Monotonic {
    let waited = now.wall.since(row.enqueued_at);
    now.monotonic.after(flush_interval.saturating_sub(waited))
}
