//! Why lanes wait.

use levi_types::{UserId, Wall};

use super::{LaneKey, Reason};

/// A lane with pending rows, and why its first row waits, as far as the outbox knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLane {
    /// The lane's name.
    pub key: LaneKey,
    /// For whom it waits; `None`: for the first user who will sign in.
    pub user_id: Option<UserId>,
    /// Whether another user signed in since.
    pub held: bool,
    /// Failed attempts so far.
    pub attempts: u32,
    /// When it is due; `None` for a lane that is blocked.
    pub due_at: Option<Wall>,
    /// The lane that must be empty before this one is due.
    pub blocked_by: Option<LaneKey>,
    /// The last failure. For a blocked lane, the reason why its ancestors wait.
    pub reason: Option<Reason>,
}
