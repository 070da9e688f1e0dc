//! Lanes: the FIFO queues of an outbox.

use std::fmt;

use levi_types::{RepositoryId, SessionId};

/// What a row is about. All rows of a lane have the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// A repository's row on the server.
    Repository,
    /// A session's row on the server.
    Session,
    /// A session's secret, to be distributed to the user's devices.
    Secret,
    /// A message.
    Message,
}

impl RowKind {
    /// The kind in lower case, such as `session`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Session => "session",
            Self::Secret => "secret",
            Self::Message => "message",
        }
    }

    /// The kind with this [`name`](Self::name).
    #[cfg(feature = "sqlite")]
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        [Self::Repository, Self::Session, Self::Secret, Self::Message]
            .into_iter()
            .find(|kind| kind.name() == name)
    }

    /// Whether rows of this kind are control rows: a lane of them holds at most one, and a second
    /// write replaces the first.
    pub const fn is_control(self) -> bool {
        !matches!(self, Self::Message)
    }

    /// Whether lanes of this kind can have children, which wait until the lane is empty.
    pub(crate) const fn can_block(self) -> bool {
        matches!(self, Self::Repository | Self::Session)
    }
}

/// The id of a lane on disk. An id is never used again, so that a late answer finds no other lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i64);

/// Names a lane: the FIFO queue of one subject, like a message group of Amazon SQS.
///
/// `Display` writes `repository/ID`, `session/ID`, `secret/ID` or `messages/ID`, for logs and
/// tools.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaneKey {
    /// The repository's row.
    Repository(RepositoryId),
    /// The session's row.
    Session(SessionId),
    /// The session's secret.
    Secret(SessionId),
    /// The session's messages.
    Messages(SessionId),
}

impl LaneKey {
    /// The kind of the lane's rows.
    pub const fn kind(&self) -> RowKind {
        match self {
            Self::Repository(_) => RowKind::Repository,
            Self::Session(_) => RowKind::Session,
            Self::Secret(_) => RowKind::Secret,
            Self::Messages(_) => RowKind::Message,
        }
    }

    /// The id of the repository or session.
    pub fn subject(&self) -> &str {
        match self {
            Self::Repository(repository) => repository.as_str(),
            Self::Session(session) | Self::Secret(session) | Self::Messages(session) => session.as_str(),
        }
    }

    /// The session; `None` for a repository.
    pub const fn session_id(&self) -> Option<&SessionId> {
        match self {
            Self::Repository(_) => None,
            Self::Session(session) | Self::Secret(session) | Self::Messages(session) => Some(session),
        }
    }

    /// The lane that must be empty before this one is due, if the key alone determines it: a
    /// session's secret and messages wait for the session. A session waits for the repository that
    /// its row names ([`NewRow::parent`](crate::NewRow::parent)).
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Repository(_) | Self::Session(_) => None,
            Self::Secret(session) | Self::Messages(session) => Some(Self::Session(session.clone())),
        }
    }
}

/// As its name, such as `messages/ID`.
impl serde::Serialize for LaneKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for LaneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = match self {
            Self::Messages(_) => "messages",
            _ => self.kind().name(),
        };
        write!(f, "{queue}/{}", self.subject())
    }
}
