#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod auth;
mod clock;
mod context;
mod id;
mod message;
mod ports;
mod record;
mod secret;
mod session;

pub use auth::{Auth, AuthError, AuthSession};
pub use clock::{Clock, Monotonic, Now, Wall};
pub use context::SyncContext;
pub use id::{DeviceId, MessageId, RepositoryId, SessionId, UserId};
pub use message::{InvalidMessage, MAX_ID_BYTES, MessageSyncRequest, check_id, is_upper_case_uuid};
pub use ports::{
    CredentialName, Credentials, CredentialsError, Delivery, DeliveryReport, PortErrorKind, SessionStore,
    StoreError,
};
pub use record::{InvalidRecord, MAX_TEXT_BYTES};
pub use secret::{AccessToken, RefreshToken, SecretString};
pub use session::{CodingSession, Repository, SessionStatus, UnknownStatus};
