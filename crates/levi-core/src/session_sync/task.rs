//! What is still to be done for a session, as the outbox keeps it: references, no rows, so that a retry
//! sends what the daemon's store says then.

use levi_outbox::NewTask;
use levi_types::{CodingSession, RepositoryId, SessionId, SessionStatus, Wall};
use serde::{Deserialize, Serialize};

/// One step of session sync.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(crate) enum SyncTask {
    /// Send a repository's row.
    Repository {
        /// Which repository.
        repository_id: RepositoryId,
    },
    /// Send a session's row.
    Session {
        /// Which session.
        session_id: SessionId,
        /// The repository it works in.
        repository_id: RepositoryId,
        /// Where it stands.
        status: SessionStatus,
    },
    /// Hand a session's secret to all devices.
    Secret {
        /// Which session.
        session_id: SessionId,
        /// The secret, wrapped under the database key and in base64; `None`: the daemon's store has it.
        wrapped: Option<String>,
    },
}

impl SyncTask {
    /// The name under which the outbox coalesces tasks.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Repository { repository_id } => repository_name(repository_id),
            Self::Session { session_id, .. } => session_name(session_id),
            Self::Secret { session_id, .. } => format!("secret/{session_id}"),
        }
    }

    /// The session whose messages wait while the task of this name is pending.
    pub(crate) fn held_session(name: &str) -> Option<SessionId> {
        name.strip_prefix("session/").map(SessionId::from)
    }

    /// The tasks that make sure the server knows `session`.
    pub(crate) fn for_session(session: &CodingSession, at: Wall) -> Vec<NewTask> {
        let repository = Self::Repository { repository_id: session.repository_id.clone() };
        let row = Self::Session {
            session_id: session.id.clone(),
            repository_id: session.repository_id.clone(),
            status: session.status,
        };
        [repository, row].into_iter().map(|task| task.recorded(at)).collect()
    }

    /// The task as the outbox keeps it.
    pub(crate) fn recorded(&self, at: Wall) -> NewTask {
        let (parent, holds) = match self {
            Self::Repository { .. } => (None, None),
            Self::Session { repository_id, session_id, .. } => {
                (Some(repository_name(repository_id)), Some(session_id.clone()))
            }
            Self::Secret { session_id, .. } => (Some(session_name(session_id)), None),
        };
        // Strings and enums always serialise.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        NewTask { name: self.name(), parent, holds, payload, at }
    }

    /// The task that `payload` records, if it is one of this version's.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}

fn repository_name(repository: &RepositoryId) -> String {
    format!("repository/{repository}")
}

fn session_name(session: &SessionId) -> String {
    format!("session/{session}")
}
