//! What must be done before or beside the messages.

use levi_types::{SessionId, Wall};

use super::Reason;

/// Something that must be done before or beside the messages: a repository's or session's row, a secret to
/// hand out. Coalesced by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Unique name, such as `session/2f...`.
    pub name: String,
    /// The task that must be gone (done) before this one is due; a parked parent holds it too.
    pub parent: Option<String>,
    /// The session whose messages wait while this task is pending, if any. Neither a parked task nor one
    /// whose parent is parked holds anybody.
    pub holds: Option<SessionId>,
    /// Opaque to the outbox; wrap what is secret.
    pub payload: Vec<u8>,
    /// When it was recorded; due at once.
    pub at: Wall,
}

/// A task that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTask {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// Failed attempts so far.
    pub attempts: u32,
    /// As recorded.
    pub payload: Vec<u8>,
}

/// Due tasks, and when the next one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueTasks {
    /// Due, the longest waiting first; none whose parent task still exists.
    pub tasks: Vec<DueTask>,
    /// When the next task that is neither due nor held becomes so.
    pub next_due: Option<Wall>,
}

/// A task as `levi outbox list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTask {
    /// Its name, such as `session/2f...`.
    pub name: String,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When it is due; `None` while it is set aside.
    pub due_at: Option<Wall>,
    /// The task it waits for, as long as that is there.
    pub waits_for: Option<String>,
    /// Why it waits or is set aside, if known.
    pub reason: Option<Reason>,
}

impl ListedTask {
    /// Set aside rather than waiting.
    pub const fn is_parked(&self) -> bool {
        self.due_at.is_none()
    }
}
