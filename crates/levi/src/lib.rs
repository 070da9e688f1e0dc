#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod accounts;
mod builder;
mod levi;

pub use builder::{BuildError, LeviBuilder, data_dir, outbox_path};
pub use levi::{Levi, NotConnected};

pub use levi_core::{
    Account, Accounts, BackfillReport, DeviceTrust, Distribution, EncryptionError, EnqueueError,
    InvalidConfig, LastError, LeviConfig, MessageError, MessageSyncer, NewSession, NoAccount, Page,
    PauseReason, PulledMessage, QUEUE_OVERHEAD, ReadError, Reader, Receipt, SecretsCache, SessionSyncService,
    ShutdownReport, StartError, Status, Step, StoredAccount, SyncError, SyncedError, SystemClock,
    UnreadableMessage, Worker, WorkerParts, open_stored,
};
pub use levi_crypto::at_rest::DatabaseKey;
pub use levi_crypto::envelope::{DevicePrivateKey, DevicePublicKey};
pub use levi_crypto::{MessageKey, SessionSecret};
pub use levi_outbox::sqlite::{
    AdminCommand, AdminError, Inspector, OutboxAdmin, OwnerNotice, SqliteOptions, SqliteOutbox, Synchronous,
    enqueue_in, lock_path, migrate_in,
};
pub use levi_outbox::{
    Change, Encryption, LaneKey, ListedRow, OutboxError, OutboxStore, Reason, RowId, RowKey, RowKind,
    RowState, Totals,
};
pub use levi_store::{FileCredentials, SqliteSessionStore, database_key, device_private_key};
pub use levi_transport::rows::{DeviceRow, MessageRow, SecretRow, SessionOwner, decode_rows, upsert_of};
pub use levi_transport::{
    ApiError, HttpConfigError, HttpOptions, HttpSignIn, HttpSupabase, PlainHttp, ProxyUse, Select, SignIn,
    SignInError, SignedIn, Supabase, Table, Timeouts, TokenError, TokenKeeper, Tokens, Upsert, Verdict,
};
pub use levi_types::{
    AccessToken, Clock, CodingSession, CredentialName, Credentials, CredentialsError, Delivery,
    DeliveryReport, DeviceId, InvalidMessage, MessageId, MessageSyncRequest, Now, RefreshToken, Repository,
    RepositoryId, SecretString, SessionId, SessionStatus, SessionStore, StoreError, SyncContext, UserId,
    Wall,
};
