#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod backoff;
mod error;
mod model;
mod store;

pub use error::OutboxError;
pub use model::{
    Change, Due, DueLane, DueTask, DueTasks, Enqueued, LaneId, ListedRow, NewRow, NewTask, Protection, Reason,
    RowHead, RowId, RowKey, RowState, Totals,
};
pub use store::{DueQuery, OutboxStore};
