//! What a response means for the rows of its request.

use std::time::Duration;

use levi_outbox::{Change, LaneId, LaneKey, Reason, RowId, RowKind};
use levi_transport::{ApiError, Verdict};
use levi_types::Now;

use super::auth_gate::Refused;
use super::io::{Action, Batch, BatchId, Part, SealResult};
use super::lone_failures::{Company, Proof};
use super::notice::{Notice, PauseReason, reason};
use super::parents::children;
use super::poison::{Blamed, Finding};
use super::{Batcher, MAX_LANES};
use crate::sync_error::{SendError, SyncError};

impl Batcher {
    pub(super) fn outcome(&mut self, now: Now, id: BatchId, result: Result<(), SendError>) {
        if self.batch(id).is_some_and(|batch| batch.is_probe) {
            return self.probe_ended(now, id, result);
        }
        let Some(mut batch) = self.in_flight.remove(&id) else { return };
        if batch.user_changes != self.user_changes {
            return self.outcome_of_another_user(now, batch, result);
        }
        let kind = kind_of(&batch);
        let lanes_sent = batch.parts.len();
        if result.is_err() {
            self.let_go_of_outdated(&mut batch);
        }
        match result {
            Ok(()) => self.accepted(now, batch),
            // The offender may be in a lane that was taken out of the batch, so the rest is sent again before
            // any of it is blamed.
            Err(SendError::Api(error)) if batch.parts.len() < lanes_sent && error.verdict.blames_rows() => {
                self.isolate(batch, &error);
            }
            Err(SendError::Api(error)) => self.failed(now, kind, batch, &error),
            // It is of one session, and nobody says which: they are sent apart.
            Err(SendError::Wait(SyncError::Store(_))) if batch.parts.len() > 1 => {
                for part in batch.parts {
                    let group = self.windows.new_group();
                    self.put_back_into(group, part);
                }
            }
            Err(SendError::Wait(error)) => {
                let at_least = self.bounded(error.retry_after());
                self.defer_all(now, batch, &error.to_reason(), at_least);
            }
            Err(SendError::Never(error)) => {
                for part in batch.parts {
                    self.park_row(now, &part, error.to_reason());
                    self.windows.without_first(part.lane, 0);
                }
            }
        }
    }

    /// A probe that fails is a failed attempt of the rows that wait for it. Otherwise they are sent.
    fn probe_ended(&mut self, now: Now, id: BatchId, result: Result<(), SendError>) {
        let present = self.batch(id).filter(|batch| batch.user_changes == self.user_changes);
        let Some(epoch) = present.map(|batch| batch.epoch) else { return self.vanished(id) };
        match result {
            Err(SendError::Api(error)) if !error.verdict.blames_rows() => {
                let Some(mut batch) = self.in_flight.remove(&id) else { return };
                self.let_go_of_outdated(&mut batch);
                return self.failed(now, RowKind::Message, batch, &error);
            }
            // It says nothing about rows: not that they fit the line, nor that the project takes any.
            Ok(()) => {
                self.auth.accepted(epoch);
                self.lone_failures.probe_accepted();
            }
            Err(_) => self.lone_failures.probe_refused(),
        }
        self.vanished(id);
    }

    /// A failure costs a lane nothing while its parent waits, nor a control row that was replaced since. Such a
    /// lane is loaded again when it is due.
    fn let_go_of_outdated(&mut self, batch: &mut Batch) {
        let windows = &mut self.windows;
        let outdated =
            batch.parts.extract_if(.., |part| windows.lane(part.lane).is_some_and(|lane| lane.is_outdated));
        let outdated: Vec<LaneId> = outdated.map(|part| part.lane).collect();
        for lane in outdated {
            self.windows.remove(lane);
            self.dirty = true;
        }
    }

    /// Of the batch, only the parts are left for which the failure counts; `kind` is that of all its rows.
    fn failed(&mut self, now: Now, kind: RowKind, batch: Batch, error: &ApiError) {
        match error.verdict {
            Verdict::SignedOut => self.token_refused(now, batch, error),
            // The tables of messages are as they should be, and are not kept waiting.
            Verdict::SchemaMismatch if kind.is_control() && self.breaker.takes_rows() => {
                let asked = self.pause_as_asked(now, error);
                self.defer_all(now, batch, &reason(kind, error), asked);
            }
            Verdict::SchemaMismatch | Verdict::ProjectUnavailable => {
                self.put_back(batch);
                self.pause_project(now, reason(kind, error), self.bounded(error.retry_after));
            }
            Verdict::MissingParent => self.missing_parent(now, batch, error),
            verdict if verdict.blames_rows() => self.refused(now, batch, error),
            // The server is not there now, or its answer is not known: wait and try again.
            _ => self.unavailable(now, batch, error),
        }
    }

    fn token_refused(&mut self, now: Now, batch: Batch, error: &ApiError) {
        let (backoff, random) = (self.config.backoff(), &mut self.random);
        let delay = |waits| backoff.delay(waits, random.draw());
        match self.auth.token_refused(now.monotonic, batch.epoch, backoff.longest(), delay) {
            Refused::Refresh => {
                self.put_back(batch);
                self.actions.push_back(Action::Refresh);
            }
            Refused::Nothing => self.put_back(batch),
            Refused::Request if batch.parts.len() > 1 => self.isolate(batch, error),
            Refused::Request => {
                let reason = reason(kind_of(&batch), error);
                self.defer_all(now, batch, &reason, Duration::ZERO);
            }
        }
    }

    pub(super) fn accepted(&mut self, now: Now, batch: Batch) {
        self.breaker.accepted();
        self.auth.accepted(batch.epoch);
        self.lone_failures.accepted(&batch);
        self.keep_parked_on_probes();
        let kind = kind_of(&batch);
        let unparked = self.poison.accepted(kind);
        if !unparked.is_empty() {
            self.unpark(now, unparked);
        }
        for Part { lane, key, rows } in batch.parts {
            for row in &rows {
                self.poison.forget(row.key.id);
            }
            let count = rows.len();
            let rows = rows.into_iter().map(|row| row.key).collect();
            self.commit(Change::Acknowledge { lane, rows, at: now.wall });
            self.windows.acknowledged(lane, count);
            self.refusals.forget(&key);
            self.retry_children(now, &key);
            let others_wait = self.dirty && self.windows.len() >= MAX_LANES;
            if others_wait {
                self.windows.remove(lane);
            }
        }
        // Its children may be due now.
        self.dirty |= kind.is_control();
    }

    /// What waits in backoff may have failed only because the server did not know the session. What was refused although
    /// the session was there keeps its backoff.
    fn retry_children(&mut self, now: Now, key: &LaneKey) {
        let LaneKey::Session(session) = key else { return };
        for lane in children(session) {
            if !self.refusals.parent_is_there(&lane) {
                self.commit(Change::RetryLane { lane, at: now.wall });
            }
        }
    }

    /// The request was never sent: its lanes start over from what is on disk.
    pub(super) fn vanished(&mut self, id: BatchId) {
        let Some(batch) = self.in_flight.remove(&id) else { return };
        if batch.user_changes != self.user_changes {
            // The lanes are another user's: they are loaded again when that one is back.
            batch.parts.iter().for_each(|part| self.windows.landed_elsewhere(part.lane));
            self.dirty = true;
            return;
        }
        for part in batch.parts {
            let lane = part.lane;
            self.windows.put_back(part);
            self.windows.reload(lane);
        }
    }

    /// The others of the batch are sent without these lanes.
    pub(super) fn held_back(&mut self, now: Now, id: BatchId, lanes: Vec<(LaneId, Reason)>) {
        self.vanished(id);
        for (lane, reason) in lanes {
            // Another user may have signed in.
            if self.windows.lane(lane).is_none() {
                continue;
            }
            self.defer(now, lane, reason, Duration::ZERO);
        }
    }

    fn put_back(&mut self, batch: Batch) {
        for part in batch.parts {
            self.windows.put_back(part);
        }
    }

    fn pause_project(&mut self, now: Now, Reason { code, detail }: Reason, at_least: Duration) {
        let reason = PauseReason::Project { code, detail };
        let (backoff, random) = (self.config.backoff(), &mut self.random);
        let delay = |attempts| backoff.delay(attempts, random.draw()).max(at_least);
        self.breaker.refused(now.monotonic, reason, delay);
        self.keep_pause(now, at_least);
    }

    /// A wait that the server asked for is not forgotten by a restart. Lanes in other requests do not have it in their
    /// due times.
    pub(super) fn keep_pause(&mut self, now: Now, asked: Duration) {
        if !asked.is_zero() {
            let until = self.breaker.asked(now.monotonic.after(asked));
            self.commit(Change::Pause { until: now.wall.after(until.since(now.monotonic)) });
        }
    }

    /// Nothing is sent before the wait is over that the server asked for, which is returned.
    pub(super) fn pause_as_asked(&mut self, now: Now, error: &ApiError) -> Duration {
        let asked = self.bounded(error.retry_after);
        if !asked.is_zero() {
            let reason = PauseReason::RetryAfter { code: error.code.clone() };
            self.breaker.open(now.monotonic.after(asked), reason);
            self.keep_pause(now, asked);
        }
        asked
    }

    fn unavailable(&mut self, now: Now, batch: Batch, error: &ApiError) {
        self.breaker.failed();
        let asked = self.wait_asked(now, &batch, error);
        let company = Company::of(&batch);
        let is_probe = batch.is_probe;
        for part in batch.parts {
            if is_probe {
                self.defer(now, part.lane, reason(part.key.kind(), error), asked);
                continue;
            }
            match self.proof_of(&part, company, error) {
                Proof::None => self.defer(now, part.lane, reason(part.key.kind(), error), asked),
                Proof::Alone(failure) => {
                    self.commit(Change::NoteLoneFailure(failure));
                    self.defer(now, part.lane, reason(part.key.kind(), error), asked);
                }
                Proof::Never(times) => self.park_lone_failure(now, &part, error, times),
            }
        }
    }

    /// The wait that the server asked for. It is everybody's, unless a row is answered so that failed alone before, while
    /// others got through: that row waits by itself. Nobody is exempt from a limit of the rate.
    fn wait_asked(&mut self, now: Now, batch: &Batch, error: &ApiError) -> Duration {
        match batch.parts.as_slice() {
            [part] if !batch.is_probe && !error.is_rate_limit() && self.lone_failures.is_alone(part) => {
                self.bounded(error.retry_after)
            }
            _ => self.pause_as_asked(now, error),
        }
    }

    fn proof_of(&mut self, part: &Part, company: Company, error: &ApiError) -> Proof {
        // A control row is small, and others wait for it. A limit of the rate says nothing about rows.
        if part.key.kind().is_control() || error.is_rate_limit() {
            return Proof::None;
        }
        self.lone_failures.failed(part, company, self.config.max_attempts_rejected)
    }

    fn park_lone_failure(&mut self, now: Now, part: &Part, error: &ApiError, times: u32) {
        let ApiError { code, detail, .. } = error;
        let detail = format!("failed alone {times} times while other requests got through: {detail}");
        self.park_row(now, part, Reason { code: code.clone(), detail });
        self.keep_parked_on_probes();
        self.windows.without_first(part.lane, 0);
    }

    fn keep_parked_on_probes(&mut self) {
        if let Some(rows) = self.lone_failures.parked_on_probes_if_changed() {
            self.commit(Change::NoteParkedOnProbes { rows });
        }
    }

    fn defer_all(&mut self, now: Now, batch: Batch, reason: &Reason, at_least: Duration) {
        for part in batch.parts {
            self.defer(now, part.lane, reason.clone(), at_least);
        }
    }

    /// A row of the batch is bad, or the project is. Narrow it down until it is clear which.
    pub(super) fn refused(&mut self, now: Now, mut batch: Batch, error: &ApiError) {
        if error.verdict == Verdict::DuplicateInBatch {
            self.actions.push_back(Action::Notice(Notice::DuplicateInBatch));
        }
        if !batch.parts.is_empty() {
            self.begin_search(&batch, error);
        }
        match batch.parts.pop() {
            Some(part) if !batch.parts.is_empty() => {
                batch.parts.push(part);
                self.isolate(batch, error);
            }
            Some(part) if part.rows.len() > 1 => self.bisect(part, error),
            Some(part) if matches!(error.verdict, Verdict::Forbidden | Verdict::MissingParent) => {
                self.refused_for_parent(now, part, error);
            }
            Some(part) => self.park(now, &part, error),
            None => {}
        }
    }

    /// Parks the offender, unless it turns out that the project is to blame.
    pub(super) fn park(&mut self, now: Now, part: &Part, error: &ApiError) {
        let Some(row) = part.rows.first() else { return };
        let kind = part.key.kind();
        self.park_row(now, part, reason(kind, error));
        match self.poison.parked(kind, row.key.id, error) {
            Finding::Row => {
                let one_by_one = self.poison.goes_one_by_one(kind, &error.code);
                self.windows.without_first(part.lane, usize::from(one_by_one));
            }
            Finding::Project(rows) => {
                self.windows.without_first(part.lane, 0);
                self.blame_project(now, rows, reason(kind, error));
            }
        }
    }

    fn park_row(&mut self, now: Now, part: &Part, reason: Reason) {
        let Some(row) = part.rows.first() else { return };
        self.refusals.forget(&part.key);
        if let LaneKey::Session(session) = &part.key {
            self.refusals.parent_is_parked(session);
        }
        self.commit(Change::Park { lane: part.lane, row: row.key, reason, at: now.wall });
    }

    /// Not the rows but the project is at fault: unpark them and wait.
    fn blame_project(&mut self, now: Now, rows: Vec<RowId>, reason: Reason) {
        self.unpark(now, rows);
        self.pause_project(now, reason, Duration::ZERO);
    }

    fn unpark(&mut self, now: Now, rows: Vec<RowId>) {
        for row in rows {
            self.commit(Change::Unpark { row, at: now.wall });
        }
        // The windows lack the rows that were unparked.
        self.windows.invalidate_all();
        self.dirty = true;
    }

    /// A project that was blamed before is blamed again if every row there is was refused.
    pub(super) fn blame_project_if_no_row_is_left(&mut self, now: Now) {
        let busy = self.dirty || self.loading || !self.in_flight.is_empty() || self.windows.len() > 0;
        if busy || !self.poison.blames_project() {
            return;
        }
        if let Some(Blamed { kind, rows, error }) = self.poison.blame_again() {
            self.blame_project(now, rows, reason(kind, &error));
        }
    }

    pub(super) fn sealed(&mut self, now: Now, id: LaneId, result: SealResult) {
        let Some(lane) = self.windows.lane(id) else { return };
        lane.awaits_response = false;
        match result {
            _ if lane.is_outdated => {
                self.windows.remove(id);
                self.dirty = true;
            }
            SealResult::Sealed => self.windows.reload(id),
            SealResult::Waiting(reason) => self.defer(now, id, reason, Duration::ZERO),
            SealResult::Unsealable(row, reason) => {
                self.commit(Change::Park { lane: id, row, reason, at: now.wall });
                self.windows.reload(id);
            }
        }
    }
}

/// The kind of the batch's rows. Messages and control rows never share a batch.
pub(super) fn kind_of(batch: &Batch) -> RowKind {
    batch.parts.first().map_or(RowKind::Message, |part| part.key.kind())
}
