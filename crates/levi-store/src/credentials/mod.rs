//! Implementations of [`Credentials`](levi_types::Credentials).

mod file;
#[cfg(feature = "keyring")]
mod keyring;

pub use file::FileCredentials;
#[cfg(feature = "keyring")]
pub use keyring::KeyringCredentials;
