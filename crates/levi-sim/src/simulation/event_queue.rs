//! What will happen in the simulation, by time.

use std::time::Duration;

use levi_core::{SendError, TakenRow};
use levi_transport::ApiError;

/// Something that will happen.
pub(super) enum Occurrence {
    ScheduledEvent(usize),
    Heal,
    Boot,
    /// A request reaches the server.
    Arrives(u64),
    Answered(u64, Result<Vec<TakenRow>, ApiError>),
    Refreshed,
    /// No refresh, because the sign-in server's wait is not over.
    RefreshWaits(Duration),
    /// Levi looks at its clocks.
    Looks,
    /// A control row reaches the server.
    ControlArrives(u64),
    ControlEnded(u64, Result<(), SendError>),
    /// Levi is notified that another process wrote.
    Notified,
    /// The process can send control rows from now on.
    ControlSenderReady,
    DiskMends(u64),
    DaemonStoreMends(u64),
    /// The daemon tries a message again that was refused.
    Again(usize),
    /// All rows of one user have arrived, and the other user signs in.
    NextUser,
    /// Only time passes.
    Nothing,
}

/// Ordered by time, then by the order of scheduling.
pub(super) struct Scheduled {
    pub(super) at: Duration,
    pub(super) nth: u64,
    /// The number of the process that it is for; zero for any.
    pub(super) incarnation: u64,
    pub(super) occurrence: Occurrence,
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
