//! Rows that fail alone while other requests are accepted.

use super::{LaneId, RowKey};

/// The record of a lane whose requests fail although others are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoneFailure {
    /// The lane.
    pub lane: LaneId,
    /// Its first row, with the version that failed.
    pub row: RowKey,
    /// How many rows from this one on were in the request that failed last; `u32::MAX` while other
    /// lanes were in it.
    pub together: u32,
    /// How often the row failed alone.
    pub failures: u32,
    /// Whether a request at least as large got through meanwhile.
    pub is_surpassed: bool,
}
