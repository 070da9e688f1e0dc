//! The outbox: after a failed read or write it is left alone for a while.

use std::time::Duration;

use levi_types::Monotonic;

use super::notice::PauseReason;

#[derive(Debug)]
pub(super) struct StorageGate {
    closed: Option<Failure>,
    attempts: u32,
}

#[derive(Debug)]
struct Failure {
    until: Monotonic,
    code: String,
}

impl StorageGate {
    pub(super) const fn new() -> Self {
        Self { closed: None, attempts: 0 }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// The outbox failed with `code`; `delay` gives the wait for the number of failures in a row.
    pub(super) fn failed(&mut self, now: Monotonic, code: String, delay: impl FnOnce(u32) -> Duration) {
        self.attempts = self.attempts.saturating_add(1);
        self.closed = Some(Failure { until: now.after(delay(self.attempts)), code });
    }

    /// The outbox was read or written.
    pub(super) fn worked(&mut self) {
        self.attempts = 0;
    }

    pub(super) fn network_changed(&mut self) {
        self.closed = None;
    }

    /// Says whether the wait is over.
    pub(super) fn expire(&mut self, now: Monotonic) -> bool {
        self.closed.take_if(|failure| failure.until <= now).is_some()
    }

    pub(super) fn timer(&self) -> Option<Monotonic> {
        self.closed.as_ref().map(|failure| failure.until)
    }

    pub(super) fn reason(&self) -> Option<PauseReason> {
        self.closed.as_ref().map(|failure| PauseReason::Outbox { code: failure.code.clone() })
    }
}
