//! Places for small secrets.

mod file;
#[cfg(feature = "keyring")]
mod keyring;

pub use file::FileCredentials;
#[cfg(feature = "keyring")]
pub use keyring::KeyringCredentials;
