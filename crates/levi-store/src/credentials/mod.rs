//! Implementations of [`Credentials`](levi_types::Credentials).

mod file;
#[cfg(feature = "keyring")]
mod keyring;
#[cfg(feature = "keyring")]
mod split;

pub use file::FileCredentials;
#[cfg(feature = "keyring")]
pub use keyring::KeyringCredentials;
