//! Sending control rows, for the worker.

use std::sync::Arc;

use async_trait::async_trait;
use levi_crypto::SessionSecret;
use levi_outbox::LaneKey;
use levi_types::{SessionId, UserId};

use super::secret::SecretThere;
use super::steps::Steps;
use super::stored_secret;
use crate::control::{ControlQueue, ControlSender, Presence};
use crate::control_row::ControlRow;
use crate::sync_error::SyncError;

/// Sends the rows that session sync enqueued.
pub(super) struct SessionSender {
    steps: Steps,
    queue: Arc<dyn ControlQueue>,
}

impl SessionSender {
    pub(super) fn new(steps: Steps, queue: Arc<dyn ControlQueue>) -> Self {
        Self { steps, queue }
    }

    /// The session's secret as the daemon's store has it now. The one in the row is from when the row was enqueued, and is
    /// for stores that do not have it.
    fn secret(&self, session: &SessionId, wrapped: Option<&str>) -> Result<SessionSecret, SyncError> {
        match (self.steps.stored_secret(session), wrapped) {
            (Err(SyncError::SecretNotFound(_)), Some(wrapped)) => {
                stored_secret::open(self.queue.database_key(), session, wrapped)
            }
            (stored, _) => stored,
        }
    }
}

#[async_trait]
impl ControlSender for SessionSender {
    fn claim(&self, user: &UserId) -> UserId {
        self.steps.server.claim(user).clone()
    }

    async fn send(
        &self,
        user: Option<&UserId>,
        lane: &LaneKey,
        payload: &[u8],
        presence: Presence,
    ) -> Result<(), SyncError> {
        self.steps.check_user(user).await?;
        match ControlRow::parse(payload) {
            Some(ControlRow::Repository { repository_id }) => self.steps.repository(&repository_id).await,
            Some(ControlRow::Session { session_id, repository_id, status }) => {
                match self.steps.session(&session_id, &repository_id, status, presence).await? {
                    SecretThere::NotAnother => Ok(()),
                    SecretThere::Another => Err(SyncError::OtherSecret(session_id)),
                }
            }
            Some(ControlRow::LookUp { session_id }) => self.steps.look_up(&session_id).await,
            Some(ControlRow::Secret { session_id, .. })
                if presence == Presence::MayBeNewer && self.steps.has_envelope(&session_id).await? =>
            {
                Ok(())
            }
            Some(ControlRow::Secret { session_id, wrapped, replaces }) => {
                let secret = self.secret(&session_id, wrapped.as_deref())?;
                self.steps.secret(&session_id, &secret, replaces).await?.complete()
            }
            None => {
                tracing::warn!(%lane, "this version of Levi does not know the row");
                Err(SyncError::UnknownRow)
            }
        }
    }

    async fn mend_recovery_envelopes(&self, user: &UserId) -> Result<(), SyncError> {
        self.steps.check_user(Some(user)).await?;
        let mended = self.steps.mend_recovery_envelopes().await?;
        if !mended.is_empty() {
            let sessions = mended.len();
            tracing::warn!(
                sessions,
                "envelopes of the recovery key were missing or altered, and are written again"
            );
        }
        Ok(())
    }
}
