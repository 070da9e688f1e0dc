#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod batcher;
mod config;
mod control;
mod control_row;
#[doc(hidden)]
pub mod engine;
mod error;
#[cfg(feature = "metrics")]
mod metrics;
mod random;
mod reader;
mod sealer;
mod secrets_cache;
mod server;
mod session_sync;
mod status;
mod sync_error;
mod worker;

pub use batcher::PauseReason;
pub use config::{Flush, InvalidConfig, LeviConfig, QUEUE_OVERHEAD};
pub use control::{ControlQueue, ControlSender, Step};
pub use engine::{Receipt, StoredError, open_stored};
pub use error::{EnqueueError, StartError, SyncedError};
pub use levi_transport::SystemClock;
pub use reader::{MessageError, Page, PulledMessage, ReadError, Reader, UnreadableMessage};
pub use secrets_cache::SecretsCache;
pub use server::DeviceTrust;
pub use session_sync::{BackfillReport, Distribution, NewSession, SessionSyncService};
pub use status::{LastError, Status};
pub use sync_error::{EncryptionError, SendError, SyncError};
pub use worker::{MessageSyncer, Opened, Opener, ShutdownReport, Worker, WorkerParts};
