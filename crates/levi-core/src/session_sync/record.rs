//! Storing steps in the outbox before they are tried.

use std::sync::PoisonError;

use levi_crypto::SessionSecret;
use levi_outbox::NewRow;
use levi_types::{SessionId, UserId};

use super::{SessionSyncService, stored_secret};
use crate::control::{ControlQueue, Step};
use crate::control_row::{ControlRow, Replaces};
use crate::error::EnqueueError;
use crate::sync_error::SyncError;

impl SessionSyncService {
    pub(super) async fn enqueue<const N: usize>(
        &self,
        queue: &dyn ControlQueue,
        user: Option<UserId>,
        rows: [ControlRow; N],
    ) -> Result<[Step; N], SyncError> {
        let now = self.steps.clock.now().wall;
        self.enqueue_rows(queue, user, rows.map(|row| row.to_row(now))).await
    }

    pub(super) async fn enqueue_rows<const N: usize>(
        &self,
        queue: &dyn ControlQueue,
        user: Option<UserId>,
        rows: [NewRow; N],
    ) -> Result<[Step; N], SyncError> {
        let rows = rows.map(|row| row.for_user(user.clone()));
        let steps = queue.enqueue(rows.into()).await?;
        // A queue returns a step for each row.
        Ok(steps.try_into().map_err(|_| EnqueueError::Stopped)?)
    }

    pub(super) async fn enqueue_one(
        &self,
        queue: &dyn ControlQueue,
        user: Option<UserId>,
        row: ControlRow,
    ) -> Result<(), SyncError> {
        let [step] = self.enqueue(queue, user, [row]).await?;
        match step {
            Step::Done => Ok(()),
            Step::WillRetry(error) | Step::Failed(error) => Err(error),
        }
    }

    /// The row of a secret. It contains the secret, encrypted, unless the daemon's store has it.
    pub(super) fn secret_row(
        &self,
        queue: &dyn ControlQueue,
        session_id: &SessionId,
        secret: &SessionSecret,
        replaces: Replaces,
    ) -> Result<ControlRow, SyncError> {
        let session_id = session_id.clone();
        if self.steps.store.session_secret(&session_id)?.is_some() {
            return Ok(ControlRow::Secret { session_id, wrapped: None, replaces });
        }
        let key = queue.database_key().ok_or_else(|| SyncError::SecretNotStored(session_id.clone()))?;
        let mut random = self.steps.random.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = stored_secret::seal(&key, &session_id, secret, &mut *random)?;
        Ok(ControlRow::Secret { session_id, wrapped: Some(sealed), replaces })
    }
}
