//! One transaction a turn: what the server took is removed and what came in is stored, together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levi_outbox::{Change, Enqueued, LaneKey, NewRow, OutboxError, Reason, RowId};
use levi_types::{Delivery, DeliveryReport, Now, SessionId};

use super::HighestKnown;
use super::committed_batch::{CommittedBatch, Waiter};
use super::event::{ControlIntake, Effect, Intake};
use super::refused::Refused;
use super::{Engine, Perform};
use crate::batcher::{Input, Written, WrittenLane};
use crate::error::EnqueueError;
use crate::sealer::Message;

/// What waits for the next commit.
#[derive(Default)]
pub(super) struct Uncommitted {
    pub(super) changes: Vec<Change>,
    rows: Vec<NewRow>,
    /// The callers, in the order of `rows`.
    waiters: Vec<Waiter>,
    /// The lanes to which the changes write rows.
    ensured: Vec<LaneKey>,
    /// Rows that the changes are about and that a caller may wait for.
    pub(super) affected: Vec<RowId>,
    pub(super) reports: Vec<DeliveryReport>,
    /// Whether the changes may make lanes due that the batcher does not know.
    pub(super) wakes: bool,
    /// Whether a control row is to be parked, which holds what depends on it.
    pub(super) parks_parent: bool,
}

impl Uncommitted {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rows.is_empty()
    }

    pub(super) fn has_no_rows(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a row is to be parked or unparked.
    pub(super) fn parks(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Park { .. } | Change::Unpark { .. }))
    }

    pub(super) fn change(&mut self, change: Change) {
        match &change {
            Change::Acknowledge { rows, .. } => self.affected.extend(rows.iter().map(|row| row.id)),
            Change::Park { row, .. } => self.affected.push(row.id),
            Change::Ensure(row) => self.ensured.push(row.lane.clone()),
            _ => {}
        }
        self.changes.push(change);
    }

    fn row(&mut self, row: NewRow, waiter: Waiter) {
        self.rows.push(row);
        self.waiters.push(waiter);
    }

    /// The highest sequence number of a session among the rows to be stored.
    pub(super) fn last_number(&self, session: &SessionId) -> Option<i64> {
        let is_meant = |row: &&NewRow| matches!(&row.lane, LaneKey::Messages(id) if id == session);
        self.rows.iter().filter(is_meant).map(|row| row.sequence_number).max()
    }

    /// Messages accepted by `enqueue` that could not be stored so far.
    pub(super) fn held(&self) -> usize {
        self.rows.len()
    }
}

impl Engine {
    /// Adds a message to the next commit, sealed.
    pub(super) fn enqueue(&mut self, now: Now, Intake { message, permit, reply, overwrite }: Intake) {
        let Some(waiter) = self.admit(Waiter::for_message(permit, reply)) else { return };
        let row = match message {
            Message::Sealed(row) => row,
            Message::Plain { user, request } => {
                let asks = self.sealer.asks_for_earlier(user.as_ref(), &request.session_id);
                let before =
                    if asks { self.highest_known(&request.session_id) } else { HighestKnown::default() };
                match self.sealer.seal(&request, user, overwrite, before, now.wall, &mut *self.random) {
                    Ok(row) => row,
                    Err(error) => return self.refuse(vec![Refused::unsealed(waiter, request, error)]),
                }
            }
        };
        self.uncommitted.row(NewRow { overwrite, ..row }, waiter);
    }

    /// What is known here of a session's earlier messages. Where the outbox cannot be read, none comes after them.
    fn highest_known(&self, session: &SessionId) -> HighestKnown {
        let in_outbox = self.store.last_sequence_number(session).unwrap_or(Some(i64::MAX));
        let stored = in_outbox.max(self.uncommitted.last_number(session));
        HighestKnown { sent: self.last_sent(session), stored }
    }

    /// Adds control rows to the next commit.
    pub(super) fn enqueue_control(&mut self, rows: Vec<ControlIntake>, within: Duration) {
        for ControlIntake { row, reply } in rows {
            if let Some(waiter) = self.admit(Waiter::for_first_attempt(reply, within)) {
                self.uncommitted.row(row, waiter);
            }
        }
    }

    /// Refuses the caller while the outbox fails, until it is time to try again: the next row to come is the
    /// attempt, and its caller may be the first to know that the disk works again.
    fn admit(&self, waiter: Waiter) -> Option<Waiter> {
        match &self.outbox_error {
            Some(error) if waiter.is_waiting() && !self.batcher.trusts_outbox() => {
                waiter.refuse(EnqueueError::Outbox(Arc::clone(error)));
                None
            }
            _ => Some(waiter),
        }
    }

    /// Commits what there is. While the outbox fails, only the batcher's own timer tries again.
    pub(super) fn commit(&mut self, now: Now, perform: Perform<'_>) {
        if self.batcher.trusts_outbox() {
            self.try_to_commit(now, perform);
        }
    }

    /// As [`commit`](Self::commit), even if the outbox failed before: there is no later attempt.
    pub(super) fn try_to_commit(&mut self, now: Now, perform: Perform<'_>) {
        if self.uncommitted.is_empty() {
            return;
        }
        self.removal_at = None;
        // Deliveries are reported before the commit: after a crash in between, the rows are still here, are sent
        // again, and are reported again.
        let reports = std::mem::take(&mut self.uncommitted.reports);
        self.record(&reports);
        let Uncommitted { changes, rows, .. } = &self.uncommitted;
        match self.store.commit(changes, rows) {
            Ok(outcomes) => self.committed(now, outcomes, perform),
            Err(error) => self.commit_failed(now, error),
        }
    }

    fn committed(&mut self, now: Now, outcomes: Vec<Enqueued>, perform: Perform<'_>) {
        let mut done = std::mem::take(&mut self.uncommitted);
        let has_control_rows = done.rows.iter().any(|row| row.kind().is_control());
        self.waiting.note(&done.changes, has_control_rows);
        let mut written: BTreeMap<LaneKey, i64> = done.ensured.into_iter().map(|lane| (lane, 0)).collect();
        let mut refused = Vec::new();
        for ((waiter, row), outcome) in done.waiters.iter_mut().zip(&done.rows).zip(&outcomes) {
            match Refused::unstored(waiter, row, outcome) {
                Some(refusal) => refused.push(refusal),
                // The daemon's store may have missed the report.
                None if *outcome == Enqueued::AlreadySynced => {
                    self.uncommitted.reports.extend(sent_before(row));
                }
                None => note_write(&mut written, row),
            }
            self.held_changed |= row.user.as_ref() != self.batcher.user();
            if row.kind().is_control() {
                self.watch_step(now, waiter, outcome);
            }
        }
        if !done.rows.is_empty() {
            perform(Effect::Complete(CommittedBatch::new(done.waiters, done.rows, outcomes)));
        }
        self.refuse(refused);
        self.outbox_error = None;
        self.batcher.handle(now, Input::Committed);
        if !written.is_empty() || done.wakes {
            let written = written.into_iter().map(|(lane, lowest)| WrittenLane { lane, lowest }).collect();
            self.batcher.handle(now, Input::Wake(Written::Lanes(written)));
        }
        for row in done.affected {
            self.receipts.check(&*self.store, row);
        }
        if done.parks_parent {
            self.receipts.check_all(&*self.store);
        }
        self.removed |= !done.changes.is_empty();
        (self.changed, self.committed) = (true, true);
    }

    fn watch_step(&mut self, now: Now, waiter: &mut Waiter, outcome: &Enqueued) {
        if let Enqueued::Stored { key, .. } = outcome
            && let Some((reply, within)) = waiter.take_tried()
        {
            self.steps.watch(*key, now.monotonic.after(within), reply);
        }
    }

    /// The changes stay for the next attempt. New rows whose callers wait are refused now, so that
    /// no caller takes a row for stored that is not; those accepted before are kept in memory,
    /// within the queue's bound.
    fn commit_failed(&mut self, now: Now, error: OutboxError) {
        let reason = reason_of(&error);
        tracing::error!(code = reason.code, "the outbox cannot be written: {error}");
        let error = Arc::new(error);
        let rows = std::mem::take(&mut self.uncommitted.rows);
        let waiters = std::mem::take(&mut self.uncommitted.waiters);
        for (row, waiter) in rows.into_iter().zip(waiters) {
            if waiter.is_waiting() {
                waiter.refuse(EnqueueError::Outbox(Arc::clone(&error)));
            } else {
                self.uncommitted.row(row, waiter);
            }
        }
        self.outbox_error = Some(error);
        self.batcher.handle(now, Input::StoreFailed(reason));
        self.changed = true;
    }

    /// Reports deliveries to the daemon's own store. Its failure changes nothing here.
    pub(super) fn record(&self, reports: &[DeliveryReport]) {
        if reports.is_empty() {
            return;
        }
        if let Err(error) = self.session_store.record(reports) {
            tracing::warn!("the session store did not take {} delivery reports: {error}", reports.len());
        }
    }
}

/// The report about a message that the server has taken before.
fn sent_before(row: &NewRow) -> Option<DeliveryReport> {
    Some(DeliveryReport {
        session_id: row.lane.session_id()?.clone(),
        sequence_number: row.sequence_number,
        message_id: row.message_id.clone(),
        delivery: Delivery::Sent,
    })
}

/// Notes the lowest sequence number written in each lane.
fn note_write(written: &mut BTreeMap<LaneKey, i64>, row: &NewRow) {
    match written.get_mut(&row.lane) {
        Some(lowest) => *lowest = row.sequence_number.min(*lowest),
        None => drop(written.insert(row.lane.clone(), row.sequence_number)),
    }
}

pub(super) fn reason_of(error: &OutboxError) -> Reason {
    let code = match error {
        OutboxError::DiskFull(_) => "disk_full",
        OutboxError::ReadOnly(_) => "read_only",
        OutboxError::Locked(_) => "locked",
        OutboxError::Owned { .. } => "owned",
        OutboxError::CannotOpen { .. } => "cannot_open",
        OutboxError::NewerSchema { .. } => "newer_schema",
        OutboxError::Corrupt(_) => "corrupt",
        _ => "outbox",
    };
    Reason { code: code.into(), detail: error.to_string() }
}
