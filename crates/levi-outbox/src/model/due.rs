//! What is due.

use levi_types::Wall;

use super::{LaneId, LaneKey, RowHead};

/// A lane that is due, with its first rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueLane {
    /// The lane's id.
    pub lane: LaneId,
    /// The lane's name.
    pub key: LaneKey,
    /// Failed attempts so far at the lane's first row.
    pub attempts: u32,
    /// The first rows, ordered by sequence number.
    pub heads: Vec<RowHead>,
    /// Whether more rows wait behind them.
    pub more: bool,
}

/// The answer to a [`DueQuery`](crate::DueQuery).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Lanes that are due, the longest waiting first.
    pub lanes: Vec<DueLane>,
    /// Whether more lanes are due than the query's limits allow.
    pub more: bool,
    /// When the next lane that is neither due nor blocked becomes due.
    pub next_due: Option<Wall>,
}
