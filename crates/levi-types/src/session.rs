//! A daemon's own record of a repository and a coding session.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, RepositoryId, SessionId};

/// Whether a coding session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Running.
    Active,
    /// Interrupted; may continue.
    Paused,
    /// Finished.
    Ended,
}

impl SessionStatus {
    /// The word that the server stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// A word other than `active`, `paused` and `ended`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a session status; use active, paused or ended")]
pub struct UnknownStatus(pub String);

impl FromStr for SessionStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        match word {
            "active" => Ok(Self::Active),
            "paused" => Ok(Self::Paused),
            "ended" => Ok(Self::Ended),
            other => Err(UnknownStatus(other.to_owned())),
        }
    }
}

/// A repository on this device, as the daemon's own store records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// A uuid, the same on the server.
    pub id: RepositoryId,
    /// The name shown to people.
    pub name: String,
    /// The checkout's folder on this device.
    pub local_path: String,
    /// The URL of the git remote.
    pub remote_url: Option<String>,
    /// The branch that new work starts from, such as `main`.
    pub default_branch: Option<String>,
    /// The branch checked out in the folder, if that is a git worktree of another checkout.
    pub worktree_branch: Option<String>,
}

impl Repository {
    /// A repository without a remote, a default branch or a worktree. To set more, use struct
    /// update syntax.
    ///
    /// ```
    /// use levi_types::Repository;
    ///
    /// let repository = Repository {
    ///     default_branch: Some("main".into()),
    ///     ..Repository::new("8f14e45f-ceea-467f-a8d5-2f0c1c1d6a01", "levi", "/src/levi")
    /// };
    /// assert_eq!(repository.remote_url, None);
    /// ```
    pub fn new(id: impl Into<RepositoryId>, name: impl Into<String>, local_path: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            local_path: local_path.into(),
            remote_url: None,
            default_branch: None,
            worktree_branch: None,
        }
    }
}

/// A coding session on this device, as the daemon's own store records it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodingSession {
    /// A lower-case uuid, the same on the server.
    pub id: SessionId,
    /// The repository that the session works in.
    pub repository_id: RepositoryId,
    /// The device that owns the session; `None` for this one.
    pub owner_device_id: Option<DeviceId>,
    /// Whether the session runs, is paused or has ended.
    pub status: SessionStatus,
    /// The title shown to people.
    pub title: Option<String>,
    /// The branch checked out while the session runs.
    pub current_branch: Option<String>,
    /// The folder that the session runs in.
    pub working_directory: Option<String>,
    /// The worktree's folder, if the session runs in a git worktree.
    pub worktree_path: Option<String>,
}

impl CodingSession {
    /// An active session that belongs to this device. To set more, use struct update syntax.
    ///
    /// ```
    /// use levi_types::CodingSession;
    ///
    /// let session = CodingSession {
    ///     title: Some("Fix the parser".into()),
    ///     ..CodingSession::new("8f14e45f-ceea-467f-a8d5-2f0c1c1d6a03", "8f14e45f-ceea-467f-a8d5-2f0c1c1d6a01")
    /// };
    /// assert_eq!(session.owner_device_id, None);
    /// ```
    pub fn new(id: impl Into<SessionId>, repository_id: impl Into<RepositoryId>) -> Self {
        Self {
            id: id.into(),
            repository_id: repository_id.into(),
            owner_device_id: None,
            status: SessionStatus::Active,
            title: None,
            current_branch: None,
            working_directory: None,
            worktree_path: None,
        }
    }
}
