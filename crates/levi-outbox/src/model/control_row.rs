use super::{LaneId, RowKey};

/// A control row that is in its lane, to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingControlRow {
    /// The row's lane.
    pub lane: LaneId,
    /// The row and its version.
    pub row: RowKey,
    /// What the row says.
    pub payload: Vec<u8>,
}
