#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod auth;
mod clock;
mod context;
mod device_list_store;
mod final_word;
mod id;
mod message;
mod ports;
mod record;
mod secret;
mod session;
mod timeline;
mod uuid;

pub use auth::{Auth, AuthError, AuthSession, SignInChange, SignInListener};
pub use clock::{Clock, Monotonic, Now, Wall};
pub use context::SyncContext;
pub use device_list_store::{DeviceListStore, EpochStart};
pub use final_word::FinalWord;
pub use id::{DeviceId, MessageId, RepositoryId, SessionId, UserId};
pub use message::{InvalidMessage, MAX_ID_BYTES, MessageSyncRequest, check_id};
pub use ports::{
    CredentialName, Credentials, CredentialsError, Delivery, DeliveryReport, PortErrorKind, ReceivedSecret,
    SenderKey, SessionStore, StoreError,
};
pub use record::{InvalidRecord, MAX_PATH_BYTES, MAX_TEXT_BYTES};
pub use secret::{AccessToken, RefreshToken, SecretString};
pub use session::{CodingSession, Repository, SessionStatus, UnknownStatus};
pub use timeline::{Tick, Timeline};
pub use uuid::{NotAUuid, is_canonical_uuid};
