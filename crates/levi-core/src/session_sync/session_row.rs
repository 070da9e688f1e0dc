//! A session's row. The device that began a session describes it; another one writes what it knows, and never whose the
//! session is.

use levi_outbox::{Reason, RowKind};
use levi_transport::rows::SessionRow;
use levi_transport::{ApiError, Update, Verdict};
use levi_types::{AuthSession, CodingSession, DeviceId, RepositoryId, SessionId, SessionStatus};

use super::secret::SecretThere;
use super::steps::Steps;
use crate::control::Presence;
use crate::read_policy::Retries;
use crate::sync_error::SyncError;

/// Whose a session is, as the daemon's store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    ThisDevice,
    /// Another device's, or not known: the store has no record of it.
    Another,
}

impl Whose {
    fn of(known: Option<&CodingSession>, this_device: &DeviceId) -> Self {
        match known {
            Some(CodingSession { owner_device_id: None, .. }) => Self::ThisDevice,
            Some(CodingSession { owner_device_id: Some(owner), .. }) if owner == this_device => {
                Self::ThisDevice
            }
            _ => Self::Another,
        }
    }
}

impl Steps {
    pub(super) async fn session(
        &self,
        session: &SessionId,
        repository: &RepositoryId,
        status: SessionStatus,
        presence: Presence,
    ) -> Result<SecretThere, SyncError> {
        let auth = self.server.session().await?;
        let known = self.store.session(session)?;
        let whose = Whose::of(known.as_ref(), &self.device.id);
        // The daemon's store may know the session by its ids only.
        let known = known.unwrap_or_else(|| CodingSession::new(session.clone(), repository.clone()));
        let repository_id = self.adopted.id_on_server(&auth.user_id, repository);
        let known = CodingSession { repository_id, status, ..known };
        known.check()?;
        let now = self.clock.now().wall;
        let row = SessionRow::new(auth.user_id.clone(), self.device.id.clone(), &known, now);
        let outcome = match self.write_session(&auth, &row, whose, presence).await {
            Err(SyncError::Supabase(error)) if error.verdict == Verdict::MissingParent => {
                self.without_repository(&auth, row, (whose, presence), repository, error).await
            }
            outcome => outcome,
        };
        match &outcome {
            // It may have been deleted and written again, and the envelopes of before are gone then.
            Ok(_) => self.skipped.forget(session),
            Err(SyncError::SessionGone(_)) => self.session_is_gone(session),
            Err(_) => {}
        }
        outcome
    }

    /// Its envelopes went with it.
    fn session_is_gone(&self, session: &SessionId) {
        self.begun.take(session);
        self.skipped.forget(session);
    }

    /// Inserts the row unless the server has one of the session. Says whether it was inserted.
    async fn insert_session(&self, auth: &AuthSession, row: &SessionRow) -> Result<bool, SyncError> {
        let is_new = self.server.insert(auth, row.clone()).await?;
        if is_new {
            self.begun.note(&row.id);
        }
        Ok(is_new)
    }

    /// A session that the server had once is updated and not inserted again.
    async fn write_session(
        &self,
        auth: &AuthSession,
        row: &SessionRow,
        whose: Whose,
        presence: Presence,
    ) -> Result<SecretThere, SyncError> {
        let update = match (whose, presence) {
            // Whatever there is, is left as it is.
            (_, Presence::MayBeNewer) => {
                self.insert_session(auth, row).await?;
                return Ok(SecretThere::NotAnother);
            }
            (Whose::ThisDevice, Presence::NotSentYet) => {
                if self.insert_session(auth, row).await? {
                    return Ok(SecretThere::NotAnother);
                }
                // This device may have written it before, and lost its outbox since.
                Update::own_session(row)
            }
            (Whose::ThisDevice, Presence::WasThere | Presence::WasThereUncompared) => Update::session(row),
            (Whose::Another, _) => Update::known_of_session(row),
        };
        if self.server.update(auth, update).await? {
            return match presence {
                Presence::NotSentYet | Presence::WasThereUncompared => {
                    self.compare_secret(auth, &row.id).await
                }
                Presence::WasThere | Presence::MayBeNewer => Ok(SecretThere::NotAnother),
            };
        }
        match (whose, presence) {
            (_, Presence::WasThere | Presence::WasThereUncompared) => {
                Err(SyncError::SessionGone(row.id.clone()))
            }
            (Whose::Another, Presence::NotSentYet) if self.insert_session(auth, row).await? => {
                Ok(SecretThere::NotAnother)
            }
            _ => Err(self.taken(auth, row).await?),
        }
    }

    /// Why a session's id is taken: the session is another device's, or another user's, whose row cannot be seen.
    async fn taken(&self, auth: &AuthSession, row: &SessionRow) -> Result<SyncError, SyncError> {
        let session = row.id.clone();
        let owner = self.server.reads(auth, Retries::none()).session_owner(&session).await?;
        Ok(match owner {
            Some(owner) if owner != row.device_id => SyncError::SessionOfAnotherDevice { session, owner },
            Some(_) => SyncError::Waiting(Reason {
                code: "raced".into(),
                detail: "the session's row was written meanwhile".into(),
            }),
            None => SyncError::OwnedByAnother { kind: RowKind::Session, id: session.as_str().to_owned() },
        })
    }

    /// The server may know the repository under another id than the row names.
    async fn without_repository(
        &self,
        auth: &AuthSession,
        row: SessionRow,
        (whose, presence): (Whose, Presence),
        repository: &RepositoryId,
        error: ApiError,
    ) -> Result<SecretThere, SyncError> {
        match self.repository_on_server(auth, repository).await? {
            Some(on_server) if on_server != row.repository_id => {
                let row = SessionRow { repository_id: on_server.clone(), ..row };
                let secret = self.write_session(auth, &row, whose, presence).await?;
                self.adopted.adopt(&auth.user_id, repository, on_server);
                Ok(secret)
            }
            _ => Err(self.missing_parent(auth, error).await),
        }
    }

    /// Whether the server still has a session that it had once.
    pub(crate) async fn look_up(&self, session: &SessionId) -> Result<(), SyncError> {
        let auth = self.server.session().await?;
        match self.server.reads(&auth, Retries::none()).session_owner(session).await? {
            Some(_) => Ok(()),
            None => {
                self.session_is_gone(session);
                Err(SyncError::SessionGone(session.clone()))
            }
        }
    }
}
