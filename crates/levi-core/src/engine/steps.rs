//! The callers that wait until a control row was tried once.

use levi_outbox::{ListedRow, OutboxError, OutboxStore, Reason, RowId, RowKey, RowState};
use levi_types::{Monotonic, Now, UserId};
use tokio::sync::oneshot;

use super::Engine;
use super::committed_batch::Tried;
use crate::batcher::{Batch, PauseReason};
use crate::control::Step;
use crate::sync_error::{SendError, SyncError};
use crate::waiting::{held_for, no_session_sync};

/// A caller that waits for the first attempt at a row.
#[derive(Debug)]
struct StepWaiter {
    row: RowKey,
    deadline: Monotonic,
    reply: oneshot::Sender<Tried>,
}

/// One attempt at a control row.
#[derive(Debug)]
struct Attempt {
    row: RowKey,
    result: Result<(), SendError>,
}

#[derive(Debug, Default)]
pub(super) struct Steps {
    waiting: Vec<StepWaiter>,
    /// The attempts that ended in this turn.
    attempts: Vec<Attempt>,
    /// Whether a row may have left the outbox untried, or become blocked by a parent that failed, since the
    /// rows were last looked at.
    must_look: bool,
    /// Completed after the status was published.
    ready: Vec<(oneshot::Sender<Tried>, Step)>,
}

impl Steps {
    pub(super) fn watch(&mut self, row: RowKey, deadline: Monotonic, reply: oneshot::Sender<Tried>) {
        self.waiting.push(StepWaiter { row, deadline, reply });
        self.must_look = true;
    }

    pub(super) fn attempted(&mut self, row: RowKey, result: &Result<(), SendError>) {
        if !self.waiting.is_empty() {
            self.attempts.push(Attempt { row, result: result.clone() });
            self.must_look |= result.is_err();
        }
    }

    /// Another process wrote to the outbox, and may have discarded a row; or another user signed in.
    pub(super) fn rows_may_be_stuck(&mut self) {
        self.must_look = true;
    }

    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        self.waiting.iter().map(|waiter| waiter.deadline).min()
    }

    pub(super) fn announce(&mut self) {
        for (reply, step) in self.ready.drain(..) {
            // The caller may be gone.
            let _ = reply.send(Ok(step));
        }
    }

    /// Completes the waiters for which `step` has an answer.
    fn complete(&mut self, step: impl Fn(&StepWaiter) -> Option<Step>) {
        let (ready, waiting) = (&mut self.ready, std::mem::take(&mut self.waiting));
        for waiter in waiting {
            match step(&waiter) {
                Some(step) => ready.push((waiter.reply, step)),
                None => self.waiting.push(waiter),
            }
        }
    }
}

impl Engine {
    /// Completes the callers whose rows were tried in this turn, and those whose rows cannot be tried for now.
    pub(super) fn complete_steps(&mut self, now: Now) {
        if self.steps.waiting.is_empty() {
            return;
        }
        for attempt in std::mem::take(&mut self.steps.attempts) {
            let step = self.step_of(&attempt);
            // Callers whose row this version replaced are completed with it; later ones wait for their own.
            let is_meant = |row: RowKey| row.id == attempt.row.id && row.version <= attempt.row.version;
            self.steps.complete(|waiter| is_meant(waiter.row).then(|| step.clone()));
        }
        if let Some(paused) = self.batcher.paused().filter(PauseReason::is_lasting) {
            let error = pause_error(&paused);
            self.steps.complete(|_| Some(Step::WillRetry(error.clone())));
        }
        if self.batcher.sends_control_rows_of_others() {
            let error = SyncError::Waiting(no_session_sync(self.batcher.user()));
            self.steps.complete(|_| Some(Step::WillRetry(error.clone())));
        }
        if std::mem::take(&mut self.steps.must_look) {
            let (store, batcher, user) = (&*self.store, &self.batcher, self.sealer.user());
            let is_in_flight = |row: RowId| {
                batcher.in_flight().filter_map(Batch::control_row).any(|(_, sent)| sent.id == row)
            };
            self.steps.complete(|waiter| {
                // The outcome of a row in flight is on its way. If the outbox cannot be read, the callers wait
                // for the first attempt or for their deadline.
                let row = Some(waiter.row.id).filter(|row| !is_in_flight(*row))?;
                listed(store, row).ok().and_then(|row| stuck(row, user.as_ref()))
            });
        }
        let late = SyncError::Waiting(Reason {
            code: "deadline".into(),
            detail: "other rows are sent first".into(),
        });
        self.steps
            .complete(|waiter| (waiter.deadline <= now.monotonic).then(|| Step::WillRetry(late.clone())));
    }

    /// The worker ends: what waits is in the outbox, and is tried after the next start.
    pub fn abandon_steps(&mut self) {
        let stopped =
            SyncError::Waiting(Reason { code: "stopped".into(), detail: "Levi has been shut down".into() });
        self.steps.complete(|_| Some(Step::WillRetry(stopped.clone())));
        self.steps.announce();
    }

    fn step_of(&self, attempt: &Attempt) -> Step {
        let error = match &attempt.result {
            Ok(()) => return Step::Done,
            Err(error) => SyncError::from(error.clone()),
        };
        match self.store.row_state(attempt.row.id) {
            Ok(RowState::Parked(_)) => Step::Failed(error),
            Ok(RowState::Gone | RowState::Discarded) => Step::Failed(SyncError::Discarded),
            Ok(RowState::ParentParked(_)) => Step::Failed(error),
            _ => Step::WillRetry(error),
        }
    }
}

fn pause_error(paused: &PauseReason) -> SyncError {
    match paused {
        PauseReason::SignedOut => SyncError::NotAuthenticated,
        other => SyncError::Waiting(other.to_reason()),
    }
}

/// The row as the outbox lists it; `None` if it is gone.
fn listed(store: &dyn OutboxStore, row: RowId) -> Result<Option<ListedRow>, OutboxError> {
    let next = store.list(Some(RowId(row.0.saturating_sub(1))), 1)?.pop();
    Ok(next.filter(|listed| listed.id == row))
}

/// The step of a row that will not be tried soon: it is gone, another user's, parked, or blocked by a parent that failed. A
/// row that was sent is not looked at, because its attempt has completed its callers.
///
/// `user` is signed in here; the outbox may not have recorded that yet.
fn stuck(row: Option<ListedRow>, user: Option<&UserId>) -> Option<Step> {
    let Some(row) = row else { return Some(Step::Failed(SyncError::Discarded)) };
    if row.held && row.user_id.as_ref() != user {
        return Some(Step::WillRetry(SyncError::Waiting(held_for(row.user_id.as_ref()))));
    }
    let reason = SyncError::Waiting(row.reason?);
    if row.parked {
        return Some(Step::Failed(reason));
    }
    if row.parent_is_parked {
        return Some(Step::Failed(reason));
    }
    row.blocked_by.map(|_| Step::WillRetry(reason))
}
