//! Carrying out what the batcher asks for.

use levi_outbox::{Change, DueQuery, LaneId, OutboxError};
use levi_transport::rows::MessageBatch;
use levi_types::{Delivery, Now, SessionId};

use super::commit::reason_of;
use super::event::Effect;
use super::{Engine, Perform, Sent};
use crate::batcher::{Action, Batch, Input, Notice, PauseReason, SealResult};
use crate::sealer::NOT_TEXT;
use crate::session_sync::SyncTask;

/// Rows wrapped at rest that are sealed in one go; the rest follows as the first ones are sent.
const SEALED_AT_ONCE: usize = 1024;

/// Rows sealed in one transaction.
const SEALED_PER_COMMIT: usize = 256;

/// Tasks loaded at once.
const TASKS_AT_ONCE: usize = 16;

impl Engine {
    /// Does what the batcher asks until it asks for nothing more and everything is committed.
    ///
    /// A request may leave before the acknowledgements of the one before it are on disk: should they be lost,
    /// rows that the server has are sent to it again, and change nothing there.
    pub(super) fn run(&mut self, now: Now, perform: Perform<'_>) {
        loop {
            while let Some(action) = self.batcher.poll_action() {
                self.act(now, action, perform);
            }
            if let Some(error) = self.receipts.take_failure() {
                self.outbox_unreadable(now, error);
                continue;
            }
            if self.uncommitted.is_empty() || !self.batcher.trusts_outbox() {
                return;
            }
            self.commit(now, perform);
        }
    }

    fn act(&mut self, now: Now, action: Action, perform: Perform<'_>) {
        match action {
            // A row may follow one that was set aside only once that is written down.
            Action::Send(batch) if self.uncommitted.sets_aside() && !self.is_committed(now, perform) => {
                self.batcher.handle(now, Input::Vanished { batch: batch.id });
            }
            Action::Send(batch) => self.send(now, batch, perform),
            // What is on disk must not be read as if decisions that did not get there were never made. The
            // batcher was told of the failure, and asks again when the outbox is trusted again.
            Action::Load { .. } | Action::LoadLane { .. } | Action::LoadTasks | Action::Seal { .. }
                if !self.is_committed(now, perform) => {}
            Action::Load { max_lanes, heads_per_lane, max_heads } => {
                let except = self.batcher.lanes_at_hand();
                let horizon = now.wall.after(self.config.longest_delay());
                let query = DueQuery {
                    now: now.wall,
                    horizon,
                    except: &except,
                    max_lanes,
                    heads_per_lane,
                    max_heads,
                };
                let loaded = self.store.due(query).map(Input::Loaded);
                self.feed(now, loaded);
            }
            Action::LoadLane { lane, after, limit } => {
                let rows = self.store.heads(lane, after, limit);
                let loaded =
                    rows.map(|rows| Input::LaneLoaded { lane, after, complete: rows.len() < limit, rows });
                self.feed(now, loaded);
            }
            Action::LoadTasks => {
                let horizon = now.wall.after(self.config.longest_delay());
                let due = self.store.due_tasks(now.wall, horizon, TASKS_AT_ONCE);
                self.feed(now, due.map(Input::TasksLoaded));
            }
            Action::Seal { lane, session_id } => self.seal_lane(now, lane, &session_id),
            Action::EnsureParent { session_id } => self.ensure_parent(now, &session_id),
            Action::RunTask(task) => perform(Effect::RunTask(task)),
            Action::Refresh => perform(Effect::Refresh),
            Action::Commit => {
                self.commit(now, perform);
                self.receipts.check_all(&*self.store);
            }
            Action::Notice(notice) => log(&notice),
            Action::Acknowledge { .. }
            | Action::Defer { .. }
            | Action::Park { .. }
            | Action::Unpark { .. }
            | Action::FinishTask { .. }
            | Action::DeferTask { .. }
            | Action::ParkTask { .. }
            | Action::RetryNow { .. } => self.write_down(now, action),
        }
    }

    /// Commits, and says whether the disk now shows everything that was decided.
    fn is_committed(&mut self, now: Now, perform: Perform<'_>) -> bool {
        self.commit(now, perform);
        self.uncommitted.is_empty() && self.batcher.trusts_outbox()
    }

    /// Decisions that become changes of the next commit.
    fn write_down(&mut self, now: Now, action: Action) {
        let change = match action {
            Action::Acknowledge { lane, rows, at, .. } => {
                let rows = rows.iter().map(|row| row.key).collect();
                Change::Acknowledge { lane, rows, at }
            }
            Action::Defer { lane, due_at, attempts, reason } => {
                Change::Defer { lane, due_at, attempts, reason }
            }
            Action::Park { lane, row, reason, at } => {
                tracing::warn!(row = row.id.0, code = reason.code, detail = reason.detail, "row set aside");
                if let Some(sent) = self.parkable.iter().find(|sent| sent.row == row.id) {
                    let report = sent.report(Delivery::Parked { code: reason.code.clone() });
                    self.uncommitted.reports.push(report);
                }
                Change::Park { lane, row, reason, at }
            }
            Action::Unpark { row, at } => Change::Unpark { row, at },
            Action::RetryNow { at } => {
                self.uncommitted.wakes = true;
                Change::RetryNow { at }
            }
            Action::FinishTask { name, version } => {
                if let Some(session_id) = SyncTask::held_session(&name) {
                    self.uncommitted.change(Change::RetrySession { session_id, at: now.wall });
                }
                self.uncommitted.wakes = true;
                Change::FinishTask { name, version }
            }
            Action::DeferTask { name, version, due_at, attempts, reason } => {
                Change::DeferTask { name, version, due_at, attempts, reason }
            }
            Action::ParkTask { name, version, reason } => {
                tracing::warn!(task = name, code = reason.code, detail = reason.detail, "task set aside");
                self.uncommitted.wakes = true;
                Change::ParkTask { name, version, reason }
            }
            _ => return,
        };
        self.uncommitted.change(change);
    }

    /// Builds the body from the stored fragments. A batch of which a row changed since it was drawn up is
    /// not sent: what follows that row must not overtake it.
    fn send(&mut self, now: Now, batch: Batch, perform: Perform<'_>) {
        let wanted: Vec<_> = batch.parts.iter().flat_map(|part| &part.rows).copied().collect();
        let keys: Vec<_> = wanted.iter().map(|row| row.key).collect();
        let bytes: usize = wanted.iter().map(|row| row.bytes as usize + 1).sum();
        let mut body = MessageBatch::with_capacity(bytes + 2);
        let mut message_ids = Vec::with_capacity(keys.len());
        let read = self.store.payloads(&keys, &mut |_, message_id, payload| {
            body.push(payload);
            message_ids.push(message_id.into());
        });
        if let Err(error) = read {
            self.batcher.handle(now, Input::Vanished { batch: batch.id });
            return self.outbox_unreadable(now, error);
        }
        if message_ids.len() != keys.len() {
            return self.batcher.handle(now, Input::Vanished { batch: batch.id });
        }
        let sessions = batch.parts.iter().flat_map(|part| part.rows.iter().map(|_| part.session_id.clone()));
        let sent = sessions.zip(&wanted).zip(message_ids).map(|((session_id, row), message_id)| Sent {
            row: row.key.id,
            session_id,
            sequence_number: row.sequence_number,
            message_id,
        });
        self.flights.insert(batch.id, sent.collect());
        let upsert = body.into_upsert();
        self.status.bytes_sent += upsert.body.len() as u64;
        perform(Effect::Send { batch: batch.id, upsert });
    }

    fn feed(&mut self, now: Now, loaded: Result<Input, OutboxError>) {
        match loaded {
            Ok(input) => {
                self.outbox_error = None;
                self.batcher.handle(now, input);
            }
            Err(error) => self.outbox_unreadable(now, error),
        }
    }

    fn outbox_unreadable(&mut self, now: Now, error: OutboxError) {
        let reason = reason_of(&error);
        tracing::error!(code = reason.code, "the outbox cannot be read: {error}");
        self.outbox_error = Some(std::sync::Arc::new(error));
        let draw = self.draw();
        self.batcher.handle(now, Input::StoreFailed { reason, draw });
    }

    /// Seals a lane's rows that are wrapped at rest, if its key is there now.
    fn seal_lane(&mut self, now: Now, lane: LaneId, session_id: &SessionId) {
        let result = match self.sealer.key(session_id) {
            Err(reason) => Ok(SealResult::Waiting(reason)),
            Ok(key) => self.seal_rows(lane, &key),
        };
        match result {
            Ok(result) => {
                let draw = self.draw();
                self.batcher.handle(now, Input::Sealed { lane, result, draw });
            }
            Err(error) => self.outbox_unreadable(now, error),
        }
    }

    fn seal_rows(&mut self, lane: LaneId, key: &levi_crypto::MessageKey) -> Result<SealResult, OutboxError> {
        for _ in 0..SEALED_AT_ONCE / SEALED_PER_COMMIT {
            let rows = self.store.at_rest(lane, SEALED_PER_COMMIT)?;
            let mut changes = Vec::with_capacity(rows.len());
            for (row, wrapped) in &rows {
                match self.sealer.reseal(key, wrapped, &mut *self.random) {
                    Ok(payload) => changes.push(Change::Reseal { row: *row, payload }),
                    // Those before it are sealed first, so that the bad one is the lane's first in its turn.
                    Err(_) if !changes.is_empty() => break,
                    Err(reason) if reason.code == NOT_TEXT => {
                        self.parkable.push(Sent::at_rest(row.id, wrapped));
                        return Ok(SealResult::Unsealable(*row, reason));
                    }
                    // A missing or wrong database key may be put right: nothing is set aside for it.
                    Err(reason) => return Ok(SealResult::Waiting(reason)),
                }
            }
            let all = changes.len();
            self.store.commit(&changes, &[])?;
            if all < SEALED_PER_COMMIT {
                break;
            }
        }
        Ok(SealResult::Sealed)
    }

    /// The server does not know the session: if the daemon does, record that its row must be sent.
    fn ensure_parent(&mut self, now: Now, session_id: &SessionId) {
        match self.session_store.session(session_id) {
            Ok(Some(session)) => {
                for task in SyncTask::for_session(&session, now.wall) {
                    self.uncommitted.change(Change::EnsureTask(task));
                }
                self.uncommitted.wakes = true;
            }
            Ok(None) => {
                tracing::warn!(%session_id, "the server does not know this session, nor does the daemon's store")
            }
            Err(error) => {
                tracing::warn!(%session_id, "the session store cannot say what this session is: {error}")
            }
        }
    }
}

fn log(notice: &Notice) {
    match notice {
        // Every hour, and at every start.
        Notice::Paused(PauseReason::Refreshing) => tracing::info!("sending waits for a fresh token"),
        Notice::Paused(reason) => tracing::warn!(?reason, "sending is paused"),
        Notice::Resumed => tracing::info!("sending goes on"),
        Notice::Split { rows, code } => {
            tracing::info!(rows, code, "batch refused, looking for the row at fault")
        }
        Notice::DuplicateInBatch => tracing::error!("the server saw one key twice in a batch"),
        Notice::Delayed { delay, code } => tracing::info!(?delay, code, "will try again"),
    }
}
