#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod credentials;
mod keys;
pub mod private_files;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use credentials::FileCredentials;
#[cfg(feature = "keyring")]
pub use credentials::KeyringCredentials;
pub use keys::{database_key, device_private_key, member_keys};
#[cfg(feature = "sqlite")]
pub use sqlite::{Progress, RepairedStore, SqliteSessionStore, Unsent, UnsentState};
