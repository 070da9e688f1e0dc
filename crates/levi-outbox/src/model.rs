//! What an outbox holds: rows in lanes, some of them parked.

mod change;
mod control_row;
mod due;
mod held;
mod lane;
mod lone_failure;
mod overwrite;
mod parked_parent;
mod reason;
mod recovery;
mod row;
mod space;
mod synced;
mod totals;
mod waiting;

pub use self::change::Change;
pub use self::control_row::PendingControlRow;
pub use self::due::{Due, DueLane};
pub use self::held::Held;
pub use self::lane::{LaneId, LaneKey, RowKind};
pub use self::lone_failure::LoneFailure;
pub use self::overwrite::Overwrite;
pub use self::parked_parent::ParkedParent;
pub use self::reason::Reason;
pub use self::recovery::RecoveryReport;
pub use self::row::{Encryption, Enqueued, ListedRow, NewRow, RowHead, RowId, RowKey, RowState};
pub use self::space::{GivenBack, Progress, Space};
pub use self::synced::{SyncedText, TextDigest, TextDigests};
pub use self::totals::Totals;
pub use self::waiting::WaitingLane;
