#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod backoff;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod memory;
mod model;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod store;

pub use error::{OutboxError, Source};
pub use model::{
    Change, Due, DueLane, Encryption, Enqueued, GivenBack, Held, LaneId, LaneKey, ListedRow, LoneFailure,
    NewRow, Overwrite, ParkedParent, PendingControlRow, Progress, Reason, RecoveryReport, RowHead, RowId,
    RowKey, RowKind, RowState, Space, SyncedText, TextDigest, TextDigests, Totals, WaitingLane,
};
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use store::{DueQuery, OutboxStore, PayloadSink};
