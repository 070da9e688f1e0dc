//! What an answer means for the rows it was about.

use std::time::Duration;

use levi_outbox::{LaneId, Reason, RowId};
use levi_transport::{ApiError, Verdict};
use levi_types::{Monotonic, Now, SessionId};

use super::gate::SignIn;
use super::io::{Action, Batch, BatchId, Notice, Part, PauseReason, SealResult, TaskEnd};
use super::trial::{Finding, Trial};
use super::{Batcher, MOST_LANES, Wait};

/// A second trial of a project goes through at least so many rows, if there are as many.
const SECOND_TRIAL: usize = 8;

/// Convictions in a row after which a trial may be larger by a batch.
const CONVICTIONS_PER_STEP: usize = 8;

/// Batches that a trial comprises at most.
const WIDEST_TRIAL: usize = 16;

impl Batcher {
    pub(super) fn outcome(
        &mut self,
        now: Now,
        id: BatchId,
        result: Result<(), ApiError>,
        culprits: &[SessionId],
        draw: f64,
    ) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let batch = flight.batch;
        let error = match result {
            Ok(()) => return self.accepted(now, batch),
            Err(error) => error,
        };
        match error.verdict {
            Verdict::SignedOut => {
                self.put_back(batch);
                self.token_refused(now, flight.epoch);
            }
            Verdict::SchemaMismatch | Verdict::ProjectUnavailable => {
                self.put_back(batch);
                self.pause_project(now, &error, draw);
            }
            Verdict::MissingParent => self.missing_parent(now, batch, &error, culprits, draw),
            Verdict::Forbidden | Verdict::Rejected | Verdict::TooLarge | Verdict::DuplicateInBatch => {
                self.refused(now, batch, &error, culprits, draw);
            }
            // `Busy`, `Unreachable`, `Unexpected`, and whatever a later version may add: wait and try again.
            _ => self.unavailable(now, batch, &error, draw),
        }
    }

    fn accepted(&mut self, now: Now, batch: Batch) {
        self.gate.accepted();
        self.look_again(now);
        for Part { lane, session_id, rows } in batch.parts {
            let count = rows.len();
            for row in &rows {
                self.second_look.remove(&row.key.id);
            }
            self.actions.push_back(Action::Acknowledge { lane, session_id, rows, at: now.wall });
            self.lanes.landed(lane, count);
            self.refusals.remove(&lane);
            let others_wait = self.dirty && self.lanes.len() >= MOST_LANES;
            if others_wait {
                self.lanes.remove(lane);
            }
        }
    }

    /// The project takes rows. Where many were set aside before it did, it may have been at fault until just
    /// now: each gets a second chance, and no third.
    fn look_again(&mut self, now: Now) {
        let rows: Vec<RowId> = self.trials.drain(..).flat_map(Trial::into_suspects).collect();
        if rows.is_empty() {
            return;
        }
        for row in rows {
            self.actions.push_back(Action::Unpark { row, at: now.wall });
            self.second_look.insert(row);
        }
        self.lanes.distrust();
        self.dirty = true;
    }

    /// The batch was never sent: its lanes start over from what is on disk.
    pub(super) fn vanished(&mut self, id: BatchId) {
        let Some(flight) = self.flights.remove(&id) else { return };
        for part in flight.batch.parts {
            let lane = part.lane;
            self.lanes.put_back(part);
            self.lanes.reload(lane);
        }
    }

    fn put_back(&mut self, batch: Batch) {
        for part in batch.parts {
            self.lanes.put_back(part);
        }
    }

    /// A token was refused: ask for a fresh one, once. An answer to an older token proves nothing.
    fn token_refused(&mut self, now: Now, epoch: u64) {
        if epoch != self.gate.epoch || self.gate.sign_in != SignIn::In {
            return;
        }
        // One that worked for nothing since, but long ago, has merely expired: the network was away meanwhile.
        let fresh = |at: Monotonic| now.monotonic.since(at) < self.config.longest_delay();
        if self.gate.refreshed_at.is_some_and(fresh) {
            self.gate.sign_in = SignIn::Out;
        } else {
            self.gate.sign_in = SignIn::Refreshing;
            self.actions.push_back(Action::Refresh);
        }
    }

    fn pause_project(&mut self, now: Now, error: &ApiError, draw: f64) {
        self.gate.project_attempts = self.gate.project_attempts.saturating_add(1);
        let delay = self.config.backoff().delay(self.gate.project_attempts, draw);
        let reason = PauseReason::Project { code: error.code.clone(), detail: error.detail.clone() };
        self.gate.pause_project(now.monotonic, delay, reason);
        self.gate.probing = Some(error.code.clone());
    }

    fn unavailable(&mut self, now: Now, batch: Batch, error: &ApiError, draw: f64) {
        self.gate.trouble = self.gate.trouble.saturating_add(1);
        if let Some(asked) = error.retry_after {
            let reason = PauseReason::RetryAfter { code: error.code.clone() };
            self.gate.pause_project(now.monotonic, asked, reason);
        }
        let at_least = error.retry_after.unwrap_or_default();
        for part in batch.parts {
            self.defer(now, part.lane, Wait { reason: &reason(error), at_least, draw });
        }
    }

    fn missing_parent(
        &mut self,
        now: Now,
        mut batch: Batch,
        error: &ApiError,
        culprits: &[SessionId],
        draw: f64,
    ) {
        match batch.parts.pop() {
            Some(part) if batch.parts.is_empty() => self.wait_for_parent(now, part, error, draw),
            Some(part) => {
                batch.parts.push(part);
                self.isolate(batch, error, culprits);
            }
            None => {}
        }
    }

    fn wait_for_parent(&mut self, now: Now, part: Part, error: &ApiError, draw: f64) {
        self.actions.push_back(Action::EnsureParent { session_id: part.session_id });
        self.defer(now, part.lane, Wait { reason: &reason(error), at_least: Duration::ZERO, draw });
    }

    /// A row of the batch is bad, or the project is. Narrow it down until it is clear which.
    fn refused(&mut self, now: Now, mut batch: Batch, error: &ApiError, culprits: &[SessionId], draw: f64) {
        if error.verdict == Verdict::DuplicateInBatch {
            self.actions.push_back(Action::Notice(Notice::DuplicateInBatch));
        }
        if self.trial(&error.code).is_none() {
            self.open_trial(&batch, &error.code);
        }
        match batch.parts.pop() {
            Some(part) if !batch.parts.is_empty() => {
                batch.parts.push(part);
                self.isolate(batch, error, culprits);
            }
            Some(part) if part.rows.len() > 1 => self.halve(part, error),
            Some(part) if error.verdict == Verdict::Forbidden => self.forbidden(now, part, error, draw),
            Some(part) => self.park(now, &part, error, draw),
            None => {}
        }
    }

    /// A project that was convicted before and refuses again gets a larger trial than the last one, as far as
    /// there are rows: good ones may wait behind bad ones.
    fn open_trial(&mut self, batch: &Batch, code: &str) {
        let trial = match &self.gate.probing {
            Some(probing) if probing == code && self.gate.convicted_for > 0 => {
                // Not much more at a time, for what is on trial is set aside on disk, and a crash forgets why; but
                // in the end more than there are bad rows in front of a good one.
                let convictions = self.gate.project_attempts as usize;
                let widened = (1 + convictions / CONVICTIONS_PER_STEP).min(WIDEST_TRIAL);
                let most = self.config.batch_size.max(SECOND_TRIAL) * widened;
                let known = batch.rows() + self.lanes.waiting_rows(most);
                Trial::open(code, 2 * self.gate.convicted_for, known.min(most))
            }
            _ => Trial::open(code, batch.rows(), self.config.batch_size),
        };
        self.trials.push(trial);
    }

    /// The trial for `code`, if one is open: each lasts until something is accepted.
    fn trial(&mut self, code: &str) -> Option<&mut Trial> {
        self.trials.iter_mut().find(|trial| trial.code == code)
    }

    /// Several sessions shared a refused batch: the ones the answer names go alone; if it names none, each
    /// half goes by itself.
    fn isolate(&mut self, batch: Batch, error: &ApiError, culprits: &[SessionId]) {
        self.notice_split(batch.rows(), error);
        let named = batch.parts.iter().filter(|part| culprits.contains(&part.session_id)).count();
        let names_some = named > 0 && named < batch.parts.len();
        let middle = batch.parts.len() / 2;
        let halves = [self.lanes.new_group(), self.lanes.new_group()];
        for (index, part) in batch.parts.into_iter().enumerate() {
            let group = if !names_some {
                halves[usize::from(index >= middle)]
            } else if culprits.contains(&part.session_id) {
                self.lanes.new_group()
            } else {
                halves[0]
            };
            if let Some(lane) = self.lanes.lane(part.lane) {
                lane.group = group;
            }
            self.lanes.put_back(part);
        }
    }

    /// One session's rows were refused: send fewer, until the bad one is alone.
    fn halve(&mut self, part: Part, error: &ApiError) {
        self.notice_split(part.rows.len(), error);
        let one_by_one = self.trial(&error.code).is_some_and(|trial| trial.looks_like_the_project());
        let suspects = if one_by_one { 1 } else { part.rows.len() };
        let group = self.lanes.new_group();
        if let Some(lane) = self.lanes.lane(part.lane) {
            lane.suspects = suspects;
            lane.group = group;
        }
        self.lanes.put_back(part);
    }

    /// Row level security refused one row. Its session may not be there yet, so it gets a few attempts.
    fn forbidden(&mut self, now: Now, part: Part, error: &ApiError, draw: f64) {
        // Counted apart from the lane's attempts: those of an outage say nothing about this row.
        let refusals = self.refusals.entry(part.lane).or_default();
        *refusals = refusals.saturating_add(1);
        if *refusals >= self.config.max_attempts_rejected {
            self.park(now, &part, error, draw);
        } else {
            self.wait_for_parent(now, part, error, draw);
        }
    }

    fn park(&mut self, now: Now, part: &Part, error: &ApiError, draw: f64) {
        let Some(row) = part.rows.first() else { return };
        self.refusals.remove(&part.lane);
        let reason = reason(error);
        self.actions.push_back(Action::Park { lane: part.lane, row: row.key, reason, at: now.wall });
        let again = self.second_look.remove(&row.key.id);
        let Some(trial) = self.trial(&error.code).filter(|_| !again) else {
            return self.lanes.without_first(part.lane, 0);
        };
        match trial.refused(row.key.id, error, draw) {
            Finding::Rows => {
                let one_by_one = trial.looks_like_the_project();
                self.lanes.without_first(part.lane, usize::from(one_by_one));
            }
            Finding::Project(rows) => {
                self.lanes.without_first(part.lane, 0);
                self.convict(now, rows, error, draw);
            }
        }
    }

    /// Not the rows but the project is at fault: put them back and wait.
    fn convict(&mut self, now: Now, rows: Vec<RowId>, error: &ApiError, draw: f64) {
        self.trials.retain(|trial| trial.code != error.code);
        self.gate.convicted_for = rows.len();
        for row in rows {
            self.actions.push_back(Action::Unpark { row, at: now.wall });
        }
        // The windows miss the rows that were put back.
        self.lanes.distrust();
        self.dirty = true;
        self.pause_project(now, error, draw);
    }

    /// A project that was convicted before is convicted again if every row there is was refused.
    pub(super) fn convict_if_none_is_left(&mut self, now: Now) {
        let busy = self.dirty || self.loading || !self.flights.is_empty() || self.lanes.len() > 0;
        if busy || self.gate.convicted_for == 0 {
            return;
        }
        let trial = self.trials.pop().and_then(Trial::into_refused);
        if let Some((rows, error, draw)) = trial {
            self.convict(now, rows, &error, draw);
        }
    }

    pub(super) fn sealed(&mut self, now: Now, lane: LaneId, result: SealResult, draw: f64) {
        let Some(known) = self.lanes.lane(lane) else { return };
        known.asked = false;
        match result {
            SealResult::Sealed => self.lanes.reload(lane),
            SealResult::Waiting(reason) => {
                self.defer(now, lane, Wait { reason: &reason, at_least: Duration::ZERO, draw });
            }
            SealResult::Unsealable(row, reason) => {
                self.actions.push_back(Action::Park { lane, row, reason, at: now.wall });
                self.lanes.reload(lane);
            }
        }
    }

    pub(super) fn task_ended(
        &mut self,
        now: Now,
        (name, version, attempts): (String, u32, u32),
        end: TaskEnd,
        draw: f64,
    ) {
        self.tasks.ended();
        let error = match end {
            TaskEnd::Done => {
                self.dirty = true;
                return self.actions.push_back(Action::FinishTask { name, version });
            }
            TaskEnd::Waiting(reason) => {
                return self.defer_task(now, (name, version, attempts), reason, draw);
            }
            TaskEnd::Impossible(reason) => {
                self.dirty = true;
                return self.actions.push_back(Action::ParkTask { name, version, reason });
            }
            TaskEnd::Answered(error) => error,
        };
        let tries_left = attempts.saturating_add(1) < self.config.max_attempts_rejected;
        match error.verdict {
            Verdict::SignedOut => self.token_refused(now, self.tasks.epoch),
            Verdict::SchemaMismatch | Verdict::ProjectUnavailable => self.pause_project(now, &error, draw),
            Verdict::Rejected | Verdict::TooLarge | Verdict::DuplicateInBatch => {
                self.dirty = true;
                self.actions.push_back(Action::ParkTask { name, version, reason: task_reason(&error) });
            }
            Verdict::Forbidden if !tries_left => {
                self.dirty = true;
                self.actions.push_back(Action::ParkTask { name, version, reason: task_reason(&error) });
            }
            _ => self.defer_task(now, (name, version, attempts), task_reason(&error), draw),
        }
    }

    fn defer_task(
        &mut self,
        now: Now,
        (name, version, attempts): (String, u32, u32),
        reason: Reason,
        draw: f64,
    ) {
        let attempts = attempts.saturating_add(1);
        let due_at = now.wall.after(self.config.backoff().delay(attempts, draw));
        self.actions.push_back(Action::DeferTask { name, version, due_at, attempts, reason });
    }

    fn notice_split(&mut self, rows: usize, error: &ApiError) {
        self.actions.push_back(Action::Notice(Notice::Split { rows, code: error.code.clone() }));
    }
}

/// For tasks the server's own words stay out of disk and log: they quote rows, and so paths and names.
fn task_reason(error: &ApiError) -> Reason {
    Reason { code: error.code.clone(), detail: format!("the server's verdict: {:?}", error.verdict) }
}

fn reason(error: &ApiError) -> Reason {
    Reason { code: error.code.clone(), detail: error.detail.clone() }
}
