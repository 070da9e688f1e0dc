//! The payloads of control rows: references, no rows of tables, so that a retry sends what the daemon's
//! store says then.

use levi_outbox::{LaneKey, NewRow};
use levi_types::{CodingSession, RepositoryId, SessionId, SessionStatus, Wall};
use serde::{Deserialize, Serialize};

/// The rows that write a session to the server again after it was deleted elsewhere, parents first. The daemon's store
/// must have its secret.
pub fn rows_to_restore(session: &CodingSession, at: Wall) -> [NewRow; 3] {
    // That the server had the session is forgotten with the session's own row.
    ControlRow::whole_session(session).map(|row| row.to_row(at).restoring())
}

/// What a control row sends. The tag is called `task` since schema 1 of the outbox.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub(crate) enum ControlRow {
    /// A repository's row.
    Repository { repository_id: RepositoryId },
    /// A session's row.
    Session { session_id: SessionId, repository_id: RepositoryId, status: SessionStatus },
    /// Nothing but a look: whether the server still has a session whose row it had once.
    LookUp { session_id: SessionId },
    /// A session's secret, for all devices of the user.
    Secret {
        session_id: SessionId,
        /// The secret, encrypted under the database key and in base64; `None`: the daemon's store has it.
        wrapped: Option<String>,
        /// Absent in rows of earlier versions.
        #[serde(default, skip_serializing_if = "Replaces::is_any")]
        replaces: Replaces,
    },
}

/// What the envelopes of a secret may replace on the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Replaces {
    /// Envelopes of secrets that this device's own store has or had.
    Known,
    /// Whatever this device gave out before, because the daemon distributes a secret by name.
    #[default]
    Any,
}

impl Replaces {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

impl ControlRow {
    pub(crate) fn of_session(session: &CodingSession) -> Self {
        Self::Session {
            session_id: session.id.clone(),
            repository_id: session.repository_id.clone(),
            status: session.status,
        }
    }

    /// Everything of a session whose secret the daemon's store has, parents first.
    pub(crate) fn whole_session(session: &CodingSession) -> [Self; 3] {
        let (repository_id, session_id) = (session.repository_id.clone(), session.id.clone());
        [
            Self::Repository { repository_id },
            Self::of_session(session),
            Self::Secret { session_id, wrapped: None, replaces: Replaces::Known },
        ]
    }

    /// The row as it is enqueued at `at`.
    pub(crate) fn to_row(&self, at: Wall) -> NewRow {
        let (lane, parent) = match self {
            Self::Repository { repository_id } => (LaneKey::Repository(repository_id.clone()), None),
            Self::Session { session_id, repository_id, .. } => {
                let repository = LaneKey::Repository(repository_id.clone());
                (LaneKey::Session(session_id.clone()), Some(repository))
            }
            Self::LookUp { session_id } => (LaneKey::Session(session_id.clone()), None),
            Self::Secret { session_id, .. } => (LaneKey::Secret(session_id.clone()), None),
        };
        // Strings and enums always serialise.
        let payload = serde_json::to_vec(self).unwrap_or_default();
        NewRow::control(lane, parent, payload, at)
    }

    /// The row that `payload` describes, if this version of Levi knows it.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok()
    }
}
