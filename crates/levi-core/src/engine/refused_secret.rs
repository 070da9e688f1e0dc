//! Messages wait while the server has another secret of their session than this device, because nobody else could read
//! them. That is kept in the outbox as soon as it is known, so that neither a restart nor a sign-out forgets it.

use levi_outbox::{Change, LaneId, LaneKey, OutboxError, PendingControlRow, Reason};
use levi_types::{Now, SessionId};

use super::Engine;
use crate::batcher::{Batch, BatchId};
use crate::control_row::{ControlRow, Replaces};
use crate::sync_error::{OTHER_SECRET, SendError, SyncError};

impl Engine {
    /// The lanes whose session has another secret on the server than here. They wait until this device has that one, or
    /// has given its own to the others.
    pub(super) fn refused_secrets(&mut self, batch: &Batch) -> Result<Vec<(LaneId, Reason)>, OutboxError> {
        let totals = self.store.totals_as_committed().or_else(|| self.store.totals().ok());
        let may_be_parked = totals.is_none_or(|totals| totals.parked_control_rows > 0);
        let mut lanes = Vec::new();
        for part in &batch.parts {
            let Some(session) = part.key.session_id() else { continue };
            if self.sealer.is_refused(session) || may_be_parked && self.is_parked_as_another(session)? {
                lanes.push((part.lane, SyncError::OtherSecret(session.clone()).to_reason()));
                self.held_sessions.insert(session.clone());
            }
        }
        Ok(lanes)
    }

    fn is_parked_as_another(&self, session: &SessionId) -> Result<bool, OutboxError> {
        let reason = self.store.parked_reason(&LaneKey::Secret(session.clone()))?;
        Ok(reason.is_some_and(|reason| reason.code == OTHER_SECRET))
    }

    /// The secret that waits in the outbox, unless it is to replace whatever the server has.
    pub(super) fn secret_to_compare(
        &self,
        session: &SessionId,
    ) -> Result<Option<PendingControlRow>, OutboxError> {
        let pending = self.store.pending_control_row(&LaneKey::Secret(session.clone()))?;
        Ok(pending.filter(|row| replaces(row) == Some(Replaces::Known)))
    }

    /// The outcome of a control row. If the server has a session's row and another secret of the session, the secret is
    /// parked in the commit that acknowledges the row.
    pub(super) fn with_refused_secret(
        &mut self,
        now: Now,
        batch: BatchId,
        result: Result<(), SendError>,
    ) -> Result<(), SendError> {
        let Err(SendError::Never(SyncError::OtherSecret(session))) = &result else { return result };
        let sent = self.batcher.batch(batch);
        let Some((LaneKey::Session(_), _)) = sent.and_then(Batch::control_row) else { return result };
        match self.park_refused(now, batch, session) {
            Ok(result) => result,
            Err(error) => {
                self.outbox_unreadable(now, error);
                // The row is sent again, and the secrets are compared again.
                Err(SendError::Wait(SyncError::OtherSecret(session.clone())))
            }
        }
    }

    fn park_refused(
        &mut self,
        now: Now,
        batch: BatchId,
        session: &SessionId,
    ) -> Result<Result<(), SendError>, OutboxError> {
        let lane = LaneKey::Secret(session.clone());
        let error = SyncError::OtherSecret(session.clone());
        match self.store.pending_control_row(&lane)? {
            Some(pending) if replaces(&pending) == Some(Replaces::Known) => {
                let reason = error.to_reason();
                self.steps.attempted(pending.row, &Err(SendError::Never(error)));
                self.change(Change::Park { lane: pending.lane, row: pending.row, reason, at: now.wall });
                Ok(Ok(()))
            }
            // It replaces the other one; or a later version of Levi wrote it, and says what becomes of it.
            Some(_) => Ok(Ok(())),
            None if self.is_parked_as_another(session)? => Ok(Ok(())),
            // There is no row to park. It is written first, and the session's row is sent again.
            None => {
                let secret = ControlRow::Secret {
                    session_id: session.clone(),
                    wrapped: None,
                    replaces: Replaces::Known,
                };
                let user = self.batcher.batch(batch).and_then(|batch| batch.user.clone());
                self.uncommitted.change(Change::Ensure(secret.to_row(now.wall).for_user(user)));
                Ok(Err(SendError::Wait(error)))
            }
        }
    }
}

/// What the secret of the row may replace; `None`: the row is not understood.
fn replaces(row: &PendingControlRow) -> Option<Replaces> {
    match ControlRow::parse(&row.payload)? {
        ControlRow::Secret { replaces, .. } => Some(replaces),
        _ => None,
    }
}
