#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod batcher;
mod config;
mod control;
mod control_row;
mod delay;
mod device_list;
#[doc(hidden)]
pub mod engine;
mod error;
mod last_number;
#[cfg(feature = "metrics")]
mod metrics;
mod opening;
mod patient_store;
mod random;
mod read_policy;
mod reader;
mod reads;
mod request_error;
mod sealer;
mod sealing_key;
mod secrets_cache;
mod server;
mod session_sync;
mod status;
mod sync_error;
mod uuid;
mod waiting;
mod worker;
mod write_messages;

pub use batcher::PauseReason;
pub use config::{Flush, InvalidConfig, LeviConfig, QUEUE_OVERHEAD};
pub use control::{ControlQueue, ControlSender, Presence, Step};
pub use control_row::rows_to_restore;
#[doc(hidden)]
pub use delay::within;
#[doc(hidden)]
pub use device_list::NextLook;
pub use device_list::{
    DeviceListAdmin, DeviceListError, DeviceListParts, DeviceListProblem, DeviceListState, ListedDevice,
    OpenInvitation, OtherDevices, PairingRequest, Recovery, SignedDeviceList, StoredDeviceList,
    stored_device_list,
};
pub use engine::{Receipt, StoredError, StoredKeys, open_stored};
pub use error::{EnqueueError, StartError, SyncedError};
pub use last_number::last_sequence_number;
pub use levi_transport::SystemClock;
pub use read_policy::OnReadRetry;
#[doc(hidden)]
pub use reader::Timer;
pub use reader::{
    Access, Arrival, BadCursor, Change, ChangeCursor, ChangePage, DeviceSummary, Follow, FollowStatus,
    MessageError, Notifications, Notifier, Pace, Page, PollingReason, PulledMessage, ReadError, Reader,
    SessionSummary, SessionsPage, SharedSessions, UnreadableDevice, UnreadableMessage, UnreadableSession,
};
pub use secrets_cache::SecretsCache;
pub use server::DeviceTrust;
pub use session_sync::{BackfillReport, Distribution, NewSession, SessionSyncService};
pub use status::{LastError, Status};
pub use sync_error::{EncryptionError, SendError, SkippedDevices, SyncError};
pub use uuid::random_uuid;
pub use waiting::{Conditions, LANES_LOOKED_AT, Waiting, WaitsFor, count_waiting};
pub use worker::{MessageSyncer, Opened, Opener, ShutdownReport, Worker, WorkerParts};
pub use write_messages::{SealedBefore, SentMessage, TakenRow, write_messages};
