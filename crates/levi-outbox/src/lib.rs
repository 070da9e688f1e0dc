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
    Change, Due, DueLane, DueTask, DueTasks, Enqueued, LaneId, ListedRow, ListedTask, NewRow, NewTask,
    Protection, Reason, RowHead, RowId, RowKey, RowState, SalvageReport, Totals,
};
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use store::{DueQuery, OutboxStore, PayloadSink};
