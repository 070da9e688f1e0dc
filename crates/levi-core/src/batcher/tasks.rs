//! Tasks (repository, session and secret rows) beside the messages: one at a time, parents first, with the
//! same backoff.

use levi_outbox::{DueTask, DueTasks};
use levi_types::{Monotonic, Now};

#[derive(Debug, Default)]
pub(super) struct TaskBoard {
    pub(super) running: bool,
    /// The sign-in that the running task started under.
    pub(super) epoch: u64,
    /// Whether the outbox must be asked what is due.
    pub(super) dirty: bool,
    pub(super) asked: bool,
    due: Vec<DueTask>,
    timer: Option<Monotonic>,
}

impl TaskBoard {
    /// A board for a store that may hold tasks already.
    pub(super) fn new() -> Self {
        Self { dirty: true, ..Self::default() }
    }

    pub(super) fn loaded(&mut self, now: Now, due: DueTasks, longest: std::time::Duration) {
        self.asked = false;
        self.due = due.tasks;
        self.due.reverse();
        self.timer = due.next_due.map(|at| now.monotonic.after(at.since(now.wall).min(longest)));
    }

    pub(super) fn next(&mut self) -> Option<DueTask> {
        let task = self.due.pop()?;
        self.running = true;
        Some(task)
    }

    /// The running task ended; what is due now may have changed, so what was loaded is forgotten.
    pub(super) fn ended(&mut self) {
        self.running = false;
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.due.clear();
        self.dirty = true;
        self.asked = false;
    }

    pub(super) fn expire(&mut self, now: Monotonic) {
        if self.timer.is_some_and(|at| at <= now) {
            self.timer = None;
            self.dirty = true;
        }
    }

    pub(super) fn timer(&self) -> Option<Monotonic> {
        self.timer
    }

    pub(super) fn is_quiet(&self) -> bool {
        !self.running && !self.dirty && !self.asked && self.due.is_empty()
    }
}
