#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod batcher;
mod clock;
mod config;
pub mod engine;
mod error;
#[cfg(feature = "metrics")]
mod metrics;
mod reader;
mod sealer;
mod secrets_cache;
mod server;
mod session_sync;
mod status;
mod worker;

pub use clock::SystemClock;
pub use config::{InvalidConfig, LeviConfig, QUEUE_OVERHEAD};
pub use engine::{Receipt, StoredError, open_stored};
pub use error::{EnqueueError, StartError, SyncedError};
pub use reader::{MessageError, Page, PulledMessage, ReadError, Reader, UnreadableMessage};
pub use secrets_cache::SecretsCache;
pub use server::DeviceTrust;
pub use session_sync::{
    Distribution, EncryptionError, NewSession, Ran, SessionSyncService, Step, SyncError, TaskOutbox,
    TaskRunner, Welcome,
};
pub use status::{LastError, Status};
pub use worker::{MessageSyncer, Opened, Opener, ShutdownReport, Worker, WorkerParts};
