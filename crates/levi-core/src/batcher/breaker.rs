//! The circuit breaker of the project: failures reduce concurrency, and a project that refuses
//! everything is left alone for a while.

use std::time::Duration;

use levi_types::Monotonic;

use super::notice::PauseReason;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Requests are sent as configured.
    Closed,
    /// Nothing is sent until this time.
    Open { until: Monotonic, reason: PauseReason },
    /// One request at a time is sent, until the server accepts one.
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// How many times in a row `Unreachable` or `Busy` came back. Each further one halves the size of a request.
    consecutive_failures: u32,
    /// How often the project refused everything since it last accepted something.
    attempts: u32,
    /// Until when the server asked for no request.
    asked_until: Monotonic,
    /// Whether the project accepted something since it was last paused.
    takes_rows: bool,
}

impl Breaker {
    pub(super) fn new() -> Self {
        Self {
            state: State::Closed,
            consecutive_failures: 0,
            attempts: 0,
            asked_until: Monotonic::default(),
            takes_rows: false,
        }
    }

    /// Whether requests may be sent.
    pub(super) const fn permits_sending(&self) -> bool {
        !matches!(self.state, State::Open { .. })
    }

    /// How often the project refused everything since it last accepted something.
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the project accepted something since it was last paused.
    pub(super) const fn takes_rows(&self) -> bool {
        self.takes_rows
    }

    pub(super) fn max_in_flight(&self, configured: usize) -> usize {
        if self.state == State::Closed { configured } else { 1 }
    }

    pub(super) const fn has_failed_repeatedly(&self) -> bool {
        self.consecutive_failures > 1
    }

    /// What is left of a limit while requests fail: half with each further failure, because what is too
    /// much for a slow line or a slow database must not be sent again and again as it is.
    pub(super) fn reduced_limit(&self, limit: usize) -> usize {
        let halvings = self.consecutive_failures.saturating_sub(1).min(usize::BITS - 1);
        (limit >> halvings).max(1)
    }

    /// The server accepted a request. A response to a request from before the breaker opened does not
    /// close it.
    pub(super) fn accepted(&mut self) {
        self.consecutive_failures = 0;
        self.attempts = 0;
        self.takes_rows = true;
        if self.state == State::HalfOpen {
            self.state = State::Closed;
        }
    }

    /// The server could not be reached, or is busy.
    pub(super) fn failed(&mut self) {
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        if self.state == State::Closed {
            self.state = State::HalfOpen;
        }
    }

    /// The project refuses everything; `delay` gives the wait for the number of attempts.
    pub(super) fn refused(
        &mut self,
        now: Monotonic,
        reason: PauseReason,
        delay: impl FnOnce(u32) -> Duration,
    ) {
        self.attempts = self.attempts.saturating_add(1);
        self.open(now.after(delay(self.attempts)), reason);
    }

    /// The server asks for no request before `until`. Returns the latest time for which it asked.
    pub(super) fn asked(&mut self, until: Monotonic) -> Monotonic {
        self.asked_until = self.asked_until.max(until);
        self.asked_until
    }

    /// Sends nothing before `until`, nor before the end of the present wait.
    pub(super) fn open(&mut self, until: Monotonic, reason: PauseReason) {
        let until = self.timer().map_or(until, |timer| timer.max(until));
        self.state = State::Open { until, reason };
        self.takes_rows = false;
    }

    /// Waits of Levi's own are over, and what is left of the one that the server asked for is waited for.
    pub(super) fn network_changed(&mut self, now: Monotonic) {
        match &mut self.state {
            State::Open { until, .. } if self.asked_until > now => *until = self.asked_until,
            State::Open { .. } => self.state = State::HalfOpen,
            State::Closed | State::HalfOpen => {}
        }
    }

    /// Says whether the wait is over.
    pub(super) fn expire(&mut self, now: Monotonic) -> bool {
        let over = self.timer().is_some_and(|until| until <= now);
        if over {
            self.state = State::HalfOpen;
        }
        over
    }

    pub(super) const fn timer(&self) -> Option<Monotonic> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::HalfOpen => None,
        }
    }

    pub(super) fn reason(&self) -> Option<PauseReason> {
        match &self.state {
            State::Open { reason, .. } => Some(reason.clone()),
            State::Closed | State::HalfOpen => None,
        }
    }
}
