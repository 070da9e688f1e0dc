//! This device's own keys: generated once, stored in the credentials store.
//!
//! Only one process may do this for the first time, because [`Credentials`] cannot save conditionally.

use levi_crypto::KeyTextError;
use levi_crypto::at_rest::DatabaseKey;
use levi_crypto::envelope::DevicePrivateKey;
use levi_devices::{KeySeed, MemberKeys};
use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use rand_core::CryptoRng;

/// The key that encrypts what is stored on this device's disk. Generated from `rng` at the first call.
///
/// # Errors
/// [`CredentialsError`] if the store is locked, denies access or holds something other than a key under that name.
/// Nothing is written then, because the old key may be readable later, and a new one could not open existing data.
pub fn database_key(
    credentials: &(impl Credentials + ?Sized),
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<DatabaseKey, CredentialsError> {
    let generate = || DatabaseKey::generate(rng).expose_base64();
    stored(credentials, &CredentialName::DatabaseKey, generate, DatabaseKey::from_base64)
}

/// This device's X25519 private key. Generated from `rng` at the first call.
///
/// # Errors
/// As for [`database_key`]: a key that cannot be read is not overwritten.
pub fn device_private_key(
    credentials: &(impl Credentials + ?Sized),
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<DevicePrivateKey, CredentialsError> {
    let generate = || DevicePrivateKey::generate(rng).expose_base64();
    stored(credentials, &CredentialName::DevicePrivateKey, generate, DevicePrivateKey::from_base64)
}

/// This device's keys for a signed device list: its X25519 private key, as [`device_private_key`] returns it, and the
/// seeds of the two others. What is missing is generated from `rng`.
///
/// # Errors
/// As for [`database_key`]: a key that cannot be read is not overwritten.
pub fn member_keys(
    credentials: &(impl Credentials + ?Sized),
    rng: &mut (impl CryptoRng + ?Sized),
) -> Result<MemberKeys, CredentialsError> {
    let mut seed = |name| {
        let generate = || KeySeed::generate(rng).expose_base64();
        stored(credentials, &name, generate, KeySeed::from_base64)
    };
    let signing = seed(CredentialName::DeviceSigningKey)?;
    let keyring = seed(CredentialName::DeviceKeyringKey)?;
    Ok(MemberKeys { signing, envelope: device_private_key(credentials, rng)?, keyring })
}

fn stored<K>(
    credentials: &(impl Credentials + ?Sized),
    name: &CredentialName,
    generate: impl FnOnce() -> SecretString,
    parse: impl Fn(&str) -> Result<K, KeyTextError>,
) -> Result<K, CredentialsError> {
    let text = match credentials.load(name)? {
        Some(text) => text,
        None => {
            credentials.save(name, &generate())?;
            // Uses what the store returns, as the next start will. So a store that does not keep keys is noticed
            // before data is encrypted.
            credentials.load(name)?.ok_or_else(|| not_kept(name))?
        }
    };
    // Exposed to be parsed into a key type.
    parse(text.expose()).map_err(|error| {
        CredentialsError::new(PortErrorKind::Corrupt, format!("under `{}`: {error}", name.as_str()))
    })
}

fn not_kept(name: &CredentialName) -> CredentialsError {
    let what = format!("`{}` was saved and is missing; use a store that keeps credentials", name.as_str());
    CredentialsError::new(PortErrorKind::Unavailable, what)
}
