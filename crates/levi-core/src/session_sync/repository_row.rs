//! A repository's row: written without the status that the product gave it, and adopted where the server knows the folder
//! under another id.

use levi_outbox::RowKind;
use levi_transport::rows::{FoundRepository, RepositoryRow, decode_rows};
use levi_transport::{ApiError, Select, Update, Verdict};
use levi_types::{AuthSession, RepositoryId};

use super::steps::Steps;
use crate::read_policy::Retries;
use crate::sync_error::SyncError;

impl Steps {
    pub(crate) async fn repository(&self, repository: &RepositoryId) -> Result<(), SyncError> {
        let known = self.store.repository(repository)?;
        let known = known.ok_or_else(|| SyncError::RepositoryNotFound(repository.clone()))?;
        known.check()?;
        let auth = self.server.session().await?;
        let row = RepositoryRow::new(auth.user_id.clone(), self.device.id.clone(), &known);
        match self.write_repository(&auth, &row).await {
            Ok(()) => {
                self.adopted.forget(&auth.user_id, repository);
                Ok(())
            }
            Err(SyncError::Supabase(error)) => self.repository_refused(&auth, row, error).await,
            Err(error) => Err(error),
        }
    }

    /// Most repositories are there already, so the first request updates.
    async fn write_repository(&self, auth: &AuthSession, row: &RepositoryRow) -> Result<(), SyncError> {
        let is_written = self.server.update(auth, Update::repository(row)).await?
            || self.server.insert(auth, row.clone()).await?
            // Another process inserted it meanwhile.
            || self.server.update(auth, Update::repository(row)).await?;
        // The id is taken by a row that cannot be seen.
        let (kind, id) = (RowKind::Repository, row.id.as_str().to_owned());
        if is_written { Ok(()) } else { Err(SyncError::OwnedByAnother { kind, id }) }
    }

    /// A folder that the server knows under another id keeps that id: its row is brought up to date, and sessions
    /// name it from now on.
    async fn repository_refused(
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
                    self.write_repository(auth, &row).await?;
                    self.adopted.adopt(&auth.user_id, &local, on_server);
                    Ok(())
                }
                _ => Err(error.into()),
            };
        }
        match error.verdict {
            Verdict::MissingParent => Err(self.missing_parent(auth, error).await),
            _ => Err(error.into()),
        }
    }

    /// The id under which the server has the folder of a repository of the daemon's store.
    pub(super) async fn repository_on_server(
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
    pub(super) async fn missing_parent(&self, auth: &AuthSession, error: ApiError) -> SyncError {
        match self.server.reads(auth, Retries::none()).device(&self.device.id).await {
            Ok(None) => SyncError::NoDeviceIdentity,
            _ => error.into(),
        }
    }
}
