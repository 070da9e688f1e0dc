//! What will happen, by time.

use std::time::Duration;

use levi_core::batcher::TaskEnd;
use levi_outbox::DueTask;
use levi_transport::ApiError;

/// Something that will happen.
pub(super) enum Coming {
    Planned(usize),
    Heal,
    Boot,
    /// A request reaches the server.
    Arrives(u64),
    Answered(u64, Result<(), ApiError>),
    Refreshed,
    /// With the token it took.
    TaskArrives(DueTask, Option<u32>),
    TaskEnded(DueTask, TaskEnd, Option<u32>),
    DiskMends(u64),
    DaemonStoreMends(u64),
    /// The daemon tries a message again that was refused.
    Again(usize),
    /// A person signs in.
    Person,
    /// Only time passes.
    Nothing,
}

/// By time, and what was scheduled first comes first.
pub(super) struct Scheduled {
    pub(super) at: Duration,
    pub(super) nth: u64,
    /// Which engine it is meant for; zero for any.
    pub(super) incarnation: u64,
    pub(super) coming: Coming,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.nth == other.nth
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.nth).cmp(&(other.at, other.nth))
    }
}
