//! What follows from the outcome of a request outside the batcher: counts, log lines, reports.

use levi_outbox::{Change, LaneKey, SyncedText};
use levi_transport::{ApiError, Verdict};
use levi_types::{Delivery, Now};

use super::Engine;
use super::sent::Sent;
use crate::batcher::{Batch, BatchId};
use crate::status::LastError;
use crate::sync_error::{SendError, SyncError};
use crate::write_messages::TakenRow;

impl Engine {
    /// Counts, logs and reports the outcome of a request, before the batcher decides what it means.
    pub(super) fn note_outcome(&mut self, now: Now, batch: BatchId, result: &Result<(), SendError>) {
        if let Some((key, row)) = self.batcher.batch(batch).and_then(Batch::control_row) {
            let code = result.as_ref().map_or_else(SendError::code, |()| "done");
            tracing::debug!(%key, code, "control row sent");
            match result {
                Err(SendError::Wait(SyncError::DevicesSkipped(_))) => {
                    self.incomplete_secrets.insert(key.clone());
                }
                _ => {
                    self.incomplete_secrets.remove(key);
                }
            }
            if let (LaneKey::Secret(session), Ok(())) = (key, result)
                && self.held_sessions.remove(session)
            {
                let lane = LaneKey::Messages(session.clone());
                self.uncommitted.change(Change::RetryLane { lane, at: now.wall });
                self.uncommitted.wakes = true;
            }
            self.steps.attempted(row, result);
            return self.note_control_outcome(now, result);
        }
        let sent = self.sent.remove(&batch).unwrap_or_default();
        if result.is_ok() && self.batcher.batch(batch).is_some_and(|batch| batch.is_probe) {
            return tracing::debug!("probe accepted");
        }
        if self.batcher.is_of_another_user(batch) {
            self.held_changed = true;
            if result.is_err() {
                return;
            }
        }
        match result {
            Ok(()) => self.note_accepted(batch, &sent),
            // Only a control row fails on this side.
            Err(SendError::Wait(_) | SendError::Never(_)) => {}
            Err(SendError::Api(error)) => self.note_failed(now, &sent, error),
        }
        self.parkable.extend(sent);
    }

    /// The server has the messages of a batch, but for some whose places other texts have.
    pub(super) fn note_taken(&mut self, batch: BatchId, taken: &[TakenRow]) {
        self.held_changed |= self.batcher.is_of_another_user(batch);
        let sent = self.sent.remove(&batch).unwrap_or_default();
        let is_taken = |message: &Sent| taken.iter().any(|row| message.is_at(&row.place));
        let (taken, accepted): (Vec<_>, Vec<_>) = sent.into_iter().partition(is_taken);
        self.note_accepted(batch, &accepted);
        self.parkable.extend(accepted);
        self.parkable.extend(taken);
    }

    fn note_control_outcome(&mut self, now: Now, result: &Result<(), SendError>) {
        match result {
            Ok(()) => self.status.last_error = None,
            Err(SendError::Api(error)) => self.status.last_error = Some(LastError::new(error, now)),
            // It failed on this side.
            Err(SendError::Wait(_) | SendError::Never(_)) => {}
        }
    }

    fn note_accepted(&mut self, batch: BatchId, sent: &[Sent]) {
        self.status.batches_accepted += 1;
        self.status.rows_accepted += sent.len() as u64;
        self.status.last_error = None;
        tracing::debug!(rows = sent.len(), "batch accepted");
        self.uncommitted.reports.extend(sent.iter().map(|message| message.report(Delivery::Sent)));
        let user = self.batcher.batch(batch).and_then(|batch| batch.user.clone());
        for messages in sent.chunk_by(|a, b| a.session_id == b.session_id) {
            let texts: Vec<SyncedText> = messages.iter().filter_map(Sent::text).collect();
            if let Some(first) = messages.first().filter(|_| !texts.is_empty()) {
                let (user, session) = (user.clone(), first.session_id.clone());
                self.uncommitted.change(Change::NoteSynced { user, session, texts });
            }
        }
    }

    fn note_failed(&mut self, now: Now, sent: &[Sent], error: &ApiError) {
        self.status.batches_failed += 1;
        tracing::debug!(rows = sent.len(), code = error.code, verdict = ?error.verdict, "batch refused");
        self.status.last_error = Some(LastError::new(error, now));
        // Without a sign-in the messages wait: that is not a failure of theirs.
        if error.verdict != Verdict::SignedOut {
            let failed = || Delivery::Failed { code: error.code.clone() };
            self.uncommitted.reports.extend(sent.iter().map(|message| message.report(failed())));
        }
    }
}
