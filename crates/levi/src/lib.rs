#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod append;
mod builder;
#[cfg(feature = "sqlite")]
mod device;
mod levi;
mod outbox_choice;
#[cfg(feature = "sqlite")]
mod repair;
#[cfg(feature = "sqlite")]
mod wake_up;

pub use append::AppendedMessage;
pub use builder::{BuildError, LeviBuilder};
#[cfg(feature = "sqlite")]
pub use device::{Device, DeviceError, DeviceFolder, DeviceOptions, Project, StoredCursor};
pub use levi::{Levi, NotConnected};
pub use levi_core::random_uuid;
#[cfg(feature = "sqlite")]
pub use repair::{
    open_session_store, repair_session_store, session_store_problems, unreadable_session_records,
};

pub use levi_core::{
    Arrival, Change, ChangeCursor, DeviceListProblem, DeviceListState, EnqueueError, Flush, Follow,
    LeviConfig, MessageSyncer, Pace, Page, PauseReason, PulledMessage, ReadError, Reader, Receipt,
    SecretsCache, SessionSyncService, StartError, Status, SyncError, SyncedError,
};
pub use levi_crypto::SessionSecret;
pub use levi_crypto::at_rest::DatabaseKey;
pub use levi_crypto::envelope::DevicePrivateKey;
#[cfg(feature = "realtime")]
pub use levi_realtime::Realtime;
pub use levi_store::FileCredentials;
#[cfg(feature = "sqlite")]
pub use levi_store::SqliteSessionStore;
pub use levi_transport::rows::DeviceRow;
pub use levi_transport::{HttpOptions, HttpSupabase, RefreshingAuth};
pub use levi_types::{
    Auth, CodingSession, Credentials, DeviceId, MessageSyncRequest, Repository, RepositoryId, SessionId,
    SessionStore, SyncContext, UserId,
};

/// Batcher, engine, worker, session sync and reader, for daemons that bring parts of their own.
#[doc(inline)]
pub use levi_core as core;
/// Message sealing, session secrets, envelopes for devices, encryption at rest.
#[doc(inline)]
pub use levi_crypto as crypto;
/// The signed device list: its entries, keyrings, pairing and recovery.
#[doc(inline)]
pub use levi_devices as devices;
/// The durable queue: its rows, stores, inspection and administration.
#[doc(inline)]
pub use levi_outbox as outbox;
/// The session store and the credentials on this device.
#[doc(inline)]
pub use levi_store as store;
/// Supabase over HTTP: rows, requests, verdicts, sign-in.
#[doc(inline)]
pub use levi_transport as transport;
/// Ids, secrets, clocks and ports that every crate shares.
#[doc(inline)]
pub use levi_types as types;

/// Compiles and runs the program in the repository's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct RepositoryReadme;
