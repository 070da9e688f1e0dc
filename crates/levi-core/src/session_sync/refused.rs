//! Rows of repositories and sessions that the server refuses for a unique key or for what they refer to: adopt what is
//! there, or name the cause.

use levi_outbox::RowKind;
use levi_transport::rows::{FoundRepository, Record, RepositoryRow, SessionRow, decode_rows};
use levi_transport::{ApiError, Select, Verdict};
use levi_types::{AuthSession, RepositoryId};
use serde::de::IgnoredAny;

use super::steps::Steps;
use crate::control::Presence;
use crate::reads::Retries;
use crate::sync_error::SyncError;

impl Steps {
    /// A folder that the server knows under another id keeps that id: its row is brought up to date, and sessions
    /// name it from now on.
    pub(super) async fn repository_refused(
        &self,
        auth: &AuthSession,
        row: RepositoryRow,
        error: ApiError,
    ) -> Result<(), SyncError> {
        if error.is_unique_violation() {
            let local = row.id.clone();
            return match self.repository_at(auth, &row.local_path).await? {
                Some(on_server) if on_server != local => {
                    let row = RepositoryRow { id: on_server.clone(), ..row };
                    self.server.upsert(auth, &[row]).await?;
                    self.adopted.adopt(&auth.user_id, &local, on_server);
                    Ok(())
                }
                _ => Err(error.into()),
            };
        }
        match error.verdict {
            Verdict::Forbidden => {
                let (kind, id) = (RowKind::Repository, row.id.as_str().to_owned());
                let owner = Taken { kind, select: Select::repository(&row.id), id };
                self.forbidden(auth, row, owner, error).await
            }
            Verdict::MissingParent => Err(self.missing_parent(auth, error).await),
            _ => Err(error.into()),
        }
    }

    /// The server may know the repository under another id than the row names.
    pub(super) async fn session_refused(
        &self,
        auth: &AuthSession,
        row: SessionRow,
        repository: &RepositoryId,
        presence: Presence,
        error: ApiError,
    ) -> Result<(), SyncError> {
        match error.verdict {
            Verdict::MissingParent => match self.repository_on_server(auth, repository).await? {
                Some(on_server) if on_server != row.repository_id => {
                    let row = SessionRow { repository_id: on_server.clone(), ..row };
                    self.write_session(auth, &row, presence).await?;
                    self.adopted.adopt(&auth.user_id, repository, on_server);
                    Ok(())
                }
                _ => Err(self.missing_parent(auth, error).await),
            },
            // What was there once is not inserted to find out whose it is.
            Verdict::Forbidden if presence != Presence::WasThere => {
                let (kind, id) = (RowKind::Session, row.id.as_str().to_owned());
                let owner = Taken { kind, select: Select::session_owner(&row.id), id };
                self.forbidden(auth, row, owner, error).await
            }
            _ => Err(error.into()),
        }
    }

    /// The id under which the server has the folder of a repository of the daemon's store.
    async fn repository_on_server(
        &self,
        auth: &AuthSession,
        repository: &RepositoryId,
    ) -> Result<Option<RepositoryId>, SyncError> {
        match self.store.repository(repository)? {
            Some(known) => self.repository_at(auth, &known.local_path).await,
            None => Ok(None),
        }
    }

    async fn repository_at(
        &self,
        auth: &AuthSession,
        local_path: &str,
    ) -> Result<Option<RepositoryId>, SyncError> {
        let select = Select::repository_at(&self.device.id, local_path);
        let found: Vec<FoundRepository> = decode_rows(&self.server.select(auth, select).await?)?;
        Ok(found.into_iter().next().map(|found| found.id))
    }

    /// A row refers to something that the server lacks. If that is this device, no other row can mend it.
    async fn missing_parent(&self, auth: &AuthSession, error: ApiError) -> SyncError {
        match self.server.reads(auth, Retries::none()).device(&self.device.id).await {
            Ok(None) => SyncError::NoDeviceIdentity,
            _ => error.into(),
        }
    }

    /// Row level security refuses the row. An insert that leaves existing rows alone tells why: if it inserts nothing
    /// and the row cannot be seen either, the id is another user's.
    async fn forbidden<T: Record>(
        &self,
        auth: &AuthSession,
        row: T,
        taken: Taken,
        error: ApiError,
    ) -> Result<(), SyncError> {
        match self.server.insert(auth, row).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => return Err(error.into()),
        }
        let visible: Vec<IgnoredAny> = decode_rows(&self.server.select(auth, taken.select).await?)?;
        if visible.is_empty() {
            return Err(SyncError::OwnedByAnother { kind: taken.kind, id: taken.id });
        }
        Err(error.into())
    }
}

/// A row whose id may be another user's, and how to look for it.
struct Taken {
    kind: RowKind,
    id: String,
    select: Select,
}
