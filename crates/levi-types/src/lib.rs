#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod auth;
mod clock;
mod context;
mod final_word;
mod id;
mod message;
mod ports;
mod secret;
mod session;
mod timeline;

pub use auth::{Auth, AuthError, AuthSession};
pub use clock::{Clock, Monotonic, Now, Wall};
pub use context::SyncContext;
pub use final_word::FinalWord;
pub use id::{DeviceId, MessageId, RepositoryId, SessionId, UserId};
pub use message::{InvalidMessage, MAX_ID_BYTES, MessageSyncRequest, is_upper_case_uuid};
pub use ports::{
    CredentialName, Credentials, CredentialsError, Delivery, DeliveryReport, PortErrorKind, SessionStore,
    StoreError,
};
pub use secret::{AccessToken, RefreshToken, SecretString};
pub use session::{CodingSession, Repository, SessionStatus, UnknownStatus};
pub use timeline::{Tick, Timeline};
