//! This device's own keys: made once, kept in the credentials store.
//!
//! Only one process may do this for the first time: [`Credentials`] has no "save unless there is one".

use levi_crypto::KeyTextError;
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use rand_core::CryptoRng;

/// The key that wraps what lies on this device's disk; made from `rng` on first use.
///
/// # Errors
/// [`CredentialsError`] when the store is locked, denies access or holds no key under that name but something
/// else. Nothing is written then: a key that cannot be read now may be read later, and one written over it would
/// cost everything that it wraps.
pub fn database_key(
    credentials: &(impl Credentials + ?Sized),
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<DatabaseKey, CredentialsError> {
    let make = || DatabaseKey::generate(rng).expose_base64();
    stored(credentials, &CredentialName::DatabaseKey, make, DatabaseKey::from_base64)
}

/// This device's X25519 private key; made from `rng` on first use.
///
/// # Errors
/// As for [`database_key`]: what cannot be read is not written over.
pub fn device_private_key(
    credentials: &(impl Credentials + ?Sized),
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<DevicePrivateKey, CredentialsError> {
    let make = || DevicePrivateKey::generate(rng).expose_base64();
    stored(credentials, &CredentialName::DevicePrivateKey, make, DevicePrivateKey::from_base64)
}

fn stored<K>(
    credentials: &(impl Credentials + ?Sized),
    name: &CredentialName,
    make: impl FnOnce() -> SecretString,
    parse: impl Fn(&str) -> Result<K, KeyTextError>,
) -> Result<K, CredentialsError> {
    let text = match credentials.load(name)? {
        Some(text) => text,
        None => {
            credentials.save(name, &make())?;
            // What the store gives back is what the next start gets, so that is what is used from the start: a
            // store that forgets shows here and not after data was wrapped.
            credentials.load(name)?.ok_or_else(|| forgetful(name))?
        }
    };
    // Exposed to be parsed; the key type guards it from here on.
    parse(text.expose()).map_err(|error| {
        CredentialsError::new(PortErrorKind::Corrupt, format!("under `{}`: {error}", name.as_str()))
    })
}

fn forgetful(name: &CredentialName) -> CredentialsError {
    let what = format!("`{}` was saved and is gone; use a store that keeps what it is given", name.as_str());
    CredentialsError::new(PortErrorKind::Unavailable, what)
}
