//! The demo's sessions, created on the writing device.

use std::sync::Arc;

use levi::types::SessionStatus;
use levi::{
    CodingSession, Repository, RepositoryId, SessionId, SessionSecret, SessionSyncService, SqliteSessionStore,
};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::error::CliError;
use crate::ids::stable_uuid;

pub(super) struct Sessions {
    store: Arc<SqliteSessionStore>,
    service: SessionSyncService,
    repository: RepositoryId,
}

impl Sessions {
    /// Stores the repository that all sessions of the demo belong to.
    pub(super) fn new(
        store: Arc<SqliteSessionStore>,
        service: SessionSyncService,
        seed: u64,
    ) -> Result<Self, CliError> {
        let repository: RepositoryId = stable_uuid("demo-repository", &[&seed.to_string()]).into();
        store.save_repository(&Repository {
            id: repository.clone(),
            name: "demo".into(),
            local_path: "/home/ada/projects/demo".into(),
            remote_url: None,
            default_branch: Some("main".into()),
            worktree_branch: None,
        })?;
        Ok(Self { store, service, repository })
    }

    /// Creates a session with a new secret, and distributes the secret to all devices.
    pub(super) async fn create(&self, id: &SessionId) -> Result<SessionSecret, CliError> {
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        self.store.save_session(&CodingSession {
            id: id.clone(),
            repository_id: self.repository.clone(),
            owner_device_id: None,
            status: SessionStatus::Active,
            title: None,
            current_branch: None,
            working_directory: None,
            worktree_path: None,
        })?;
        self.store.save_secret(id, &secret)?;
        // A step that fails now is in the outbox and is retried like a message.
        self.service.sync_new_session(id, &self.repository, &secret).await?;
        Ok(secret)
    }
}
