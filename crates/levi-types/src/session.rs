//! What a daemon knows locally about a repository and a coding session.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{DeviceId, RepositoryId, SessionId};

/// Where a coding session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionStatus {
    /// Being worked in.
    Active,
    /// Set aside, may go on.
    Paused,
    /// Over.
    Ended,
}

impl SessionStatus {
    /// The word the server stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// A status word that is none of `active`, `paused`, `ended`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no session status; use active, paused or ended")]
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

/// A repository on this device, as the daemon's own store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Its id, here and on the server.
    pub id: RepositoryId,
    /// What people call it.
    pub name: String,
    /// Where it lies on this device.
    pub local_path: String,
    /// Where it is pushed to, if anywhere.
    pub remote_url: Option<String>,
    /// The branch new work starts from.
    pub default_branch: Option<String>,
    /// The branch checked out here, where this is a git worktree of another checkout.
    pub worktree_branch: Option<String>,
}

/// A coding session on this device, as the daemon's own store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodingSession {
    /// Its id, here and on the server.
    pub id: SessionId,
    /// The repository it works in.
    pub repository_id: RepositoryId,
    /// The device that owns the session, where it is not this one.
    pub owner_device_id: Option<DeviceId>,
    /// Where it stands.
    pub status: SessionStatus,
    /// What people call it.
    pub title: Option<String>,
    /// The branch checked out while it runs.
    pub current_branch: Option<String>,
    /// The folder it runs in.
    pub working_directory: Option<String>,
    /// The worktree's folder, where it runs in one.
    pub worktree_path: Option<String>,
}
