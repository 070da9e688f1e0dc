//! Parked rows that hold others.

use serde::Serialize;

use super::{LaneKey, Reason};

/// A parked row of a repository or session. The lanes that depend on it are blocked until the row
/// is retried, written again or discarded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedParent {
    /// The row's lane, which names the repository or session.
    pub lane: LaneKey,
    /// Why the row is parked.
    pub reason: Reason,
}
