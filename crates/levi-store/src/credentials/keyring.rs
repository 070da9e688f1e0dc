//! Credentials in the keychain of the operating system.

use std::fmt;
use std::sync::Arc;

use getrandom::SysRng;
use keyring_core::{CredentialStore, Entry, Error};
use levi_types::{CredentialName, Credentials, CredentialsError, PortErrorKind, SecretString};
use rand_core::TryRng as _;
use zeroize::Zeroizing;

use super::split::{self, Generation, Parts, Set};

/// How often a secret is read or stored again because another process stores one at the same time.
const ATTEMPTS: u32 = 8;

/// One keychain entry for each credential, under a service name that the daemon chooses. What is longer than an entry
/// may be on Windows is stored in several.
///
/// Keychain on macOS, Credential Manager on Windows, the Secret Service (over D-Bus) on other Unix systems.
/// A locked keychain is an error and not an empty one. Sets no global of the keyring crates.
pub struct KeyringCredentials {
    store: Arc<CredentialStore>,
    service: String,
}

impl KeyringCredentials {
    /// The keychain of this operating system. `service` is shown to people there; use the daemon's name.
    ///
    /// # Errors
    /// [`PortErrorKind::Unavailable`] if no keychain runs, as on most servers: use
    /// [`FileCredentials`](crate::FileCredentials) there.
    pub fn open(service: impl Into<String>) -> Result<Self, CredentialsError> {
        Ok(Self::with_store(system_store()?, service))
    }

    /// Any store of the keyring ecosystem: another keychain, or `keyring_core::mock` in a test.
    pub fn with_store(store: Arc<CredentialStore>, service: impl Into<String>) -> Self {
        Self { store, service: service.into() }
    }

    fn entry(&self, name: &str) -> Result<Entry, CredentialsError> {
        self.store.build(&self.service, name, None).map_err(failure)
    }

    fn read(&self, name: &str) -> Result<Option<SecretString>, CredentialsError> {
        match self.entry(name)?.get_password() {
            Ok(secret) => Ok(Some(SecretString::new(secret))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    fn delete(&self, name: &str) -> Result<(), CredentialsError> {
        match self.entry(name)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }

    /// The parts that the entry names, if it names any.
    fn parts(&self, name: &str) -> Result<Option<Parts>, CredentialsError> {
        // Exposed to be parsed.
        Ok(self.read(name)?.and_then(|entry| Parts::of(entry.expose())))
    }

    /// Puts a secret together again. The error: a part is missing, or is of another
    /// secret.
    fn joined(
        &self,
        name: &str,
        parts: Parts,
    ) -> Result<Result<SecretString, KeychainError>, CredentialsError> {
        let mut read = Vec::with_capacity(parts.count);
        for part in parts.names(name) {
            match self.read(&part)? {
                Some(part) => read.push(part),
                None => return Ok(Err(KeychainError::PartMissing)),
            }
        }
        // Sized up front, because a growing buffer would leave copies of the secret in freed memory.
        let mut whole =
            Zeroizing::new(String::with_capacity(read.iter().map(|part| part.expose().len()).sum()));
        for part in &read {
            // Exposed to be joined.
            match parts.generation.text_of(part.expose()) {
                Some(text) => whole.push_str(text),
                None => return Ok(Err(KeychainError::OtherPart)),
            }
        }
        Ok(Ok(SecretString::new(std::mem::take(&mut *whole))))
    }

    /// The parts that the entry names. An entry that cannot be understood names none.
    fn known_parts(&self, name: &str) -> Result<Option<Parts>, CredentialsError> {
        match self.parts(name) {
            Err(error) if error.kind() == PortErrorKind::Corrupt => Ok(None),
            parts => parts,
        }
    }

    /// Removes the parts of a set from number `from` on. The last one goes first, because after an error the next
    /// removal finds only parts without a gap before them.
    fn remove_parts(&self, name: &str, set: Set, from: usize) -> Result<(), CredentialsError> {
        let mut end = from;
        while end < split::MOST_PARTS && self.is_there(&split::part_name(name, set, end))? {
            end += 1;
        }
        (from..end).rev().try_for_each(|number| self.delete(&split::part_name(name, set, number)))
    }

    fn is_there(&self, name: &str) -> Result<bool, CredentialsError> {
        match self.read(name) {
            Err(error) if error.kind() == PortErrorKind::Corrupt => Ok(true),
            read => read.map(|secret| secret.is_some()),
        }
    }

    /// Removes parts that no entry names. Best effort: the next long secret or [`remove`](Credentials::remove) gets
    /// what is left.
    fn clean_up(&self, name: &str, set: Set, from: usize) {
        let _ = self.remove_parts(name, set, from);
    }

    /// Removes the parts of a secret that no entry names any more. Another process may have stored parts of its own in
    /// the set since: those stay.
    fn clean_up_old(&self, name: &str, old: Parts) {
        for part in old.names(name).collect::<Vec<_>>().into_iter().rev() {
            let stored = self.read(&part).ok().flatten();
            // Exposed to be compared.
            if stored.is_some_and(|stored| old.generation.text_of(stored.expose()).is_some()) {
                let _ = self.delete(&part);
            }
        }
    }

    /// Stores a secret in parts.
    fn save_parts(&self, name: &str, texts: &[&str]) -> Result<Saved, CredentialsError> {
        let before = self.known_parts(name)?;
        let new = Parts {
            set: Set::draw(random(SysRng.try_next_u32())?, before.map(|before| before.set)),
            count: texts.len(),
            generation: Generation::new(random(SysRng.try_next_u64())?),
        };
        for (part, text) in new.names(name).zip(texts) {
            self.entry(&part)?.set_password(&new.generation.part(text)).map_err(failure)?;
        }
        self.entry(name)?.set_password(&new.entry()).map_err(failure)?;
        if self.known_parts(name)? != Some(new) {
            // Another process has stored a secret since, which counts.
            self.clean_up_old(name, new);
            return Ok(Saved::Whole);
        }
        if self.joined(name, new)?.is_err() {
            return Ok(Saved::Mixed);
        }
        self.clean_up(name, new.set, new.count);
        if let Some(before) = before {
            self.clean_up_old(name, before);
        }
        Ok(Saved::Whole)
    }
}

/// What two processes that store a secret at once made of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saved {
    /// One secret, whichever was last.
    Whole,
    /// Parts of both: neither is there.
    Mixed,
}

fn random<T>(drawn: Result<T, getrandom::Error>) -> Result<T, CredentialsError> {
    drawn.map_err(|error| CredentialsError::new(PortErrorKind::Unavailable, error))
}

impl fmt::Debug for KeyringCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringCredentials").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Credentials for KeyringCredentials {
    fn load(&self, name: &CredentialName) -> Result<Option<SecretString>, CredentialsError> {
        let mut why = KeychainError::PartMissing;
        // Another process may replace the secret between the reads: then the entry names other parts.
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.read(name.as_str())? else { return Ok(None) };
            // Exposed to be parsed.
            let Some(parts) = Parts::of(entry.expose()) else { return Ok(Some(entry)) };
            match self.joined(name.as_str(), parts)? {
                Ok(secret) => return Ok(Some(secret)),
                Err(error) => why = error,
            }
        }
        let kind = match why {
            KeychainError::OtherPart => PortErrorKind::Unavailable,
            _ => PortErrorKind::Corrupt,
        };
        Err(CredentialsError::new(kind, why))
    }

    fn save(&self, name: &CredentialName, secret: &SecretString) -> Result<(), CredentialsError> {
        let name = name.as_str();
        // Exposed to be stored in the keychain.
        let secret = secret.expose();
        let Some(texts) = split::split(secret) else {
            let before = self.known_parts(name)?;
            self.entry(name)?.set_password(secret).map_err(failure)?;
            if let Some(before) = before {
                self.clean_up_old(name, before);
            }
            return Ok(());
        };
        for _ in 0..ATTEMPTS {
            if self.save_parts(name, &texts)? == Saved::Whole {
                return Ok(());
            }
        }
        Err(CredentialsError::new(PortErrorKind::Unavailable, KeychainError::OtherPart))
    }

    fn remove(&self, name: &CredentialName) -> Result<(), CredentialsError> {
        let name = name.as_str();
        // The entry goes last, because a removal that failed is made again and finds the parts by it.
        if let Some(parts) = self.known_parts(name)? {
            parts.names(name).try_for_each(|part| self.delete(&part))?;
        }
        Set::all().try_for_each(|set| self.remove_parts(name, set, 0))?;
        self.delete(name)
    }
}

#[cfg(target_os = "macos")]
fn system_store() -> Result<Arc<CredentialStore>, CredentialsError> {
    Ok(apple_native_keyring_store::keychain::Store::new().map_err(failure)?)
}

#[cfg(windows)]
fn system_store() -> Result<Arc<CredentialStore>, CredentialsError> {
    Ok(windows_native_keyring_store::Store::new().map_err(failure)?)
}

#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
fn system_store() -> Result<Arc<CredentialStore>, CredentialsError> {
    Ok(zbus_secret_service_keyring_store::Store::new().map_err(failure)?)
}

#[cfg(not(any(windows, all(unix, not(any(target_os = "ios", target_os = "android"))))))]
fn system_store() -> Result<Arc<CredentialStore>, CredentialsError> {
    Err(failure(Error::NoDefaultStore))
}

/// An error of the keychain, without the stored bytes that some errors contain.
#[derive(Debug, thiserror::Error)]
enum KeychainError {
    #[error("the keychain is locked or refuses access: {0}; unlock it and allow this program")]
    Locked(Box<dyn std::error::Error + Send + Sync>),
    #[error("the keychain cannot be used: {0}; check that it runs, or keep credentials in a folder")]
    Failed(String),
    #[error("what the keychain holds for Levi is not text; remove that entry and sign in again")]
    NotText,
    #[error("a part of what the keychain holds for Levi is missing; sign in again")]
    PartMissing,
    #[error(
        "what the keychain holds for Levi is of two secrets, because another process stores one now; try again"
    )]
    OtherPart,
    #[error("the keychain holds several entries for the same name; remove all but one")]
    Ambiguous,
}

fn failure(error: Error) -> CredentialsError {
    let (kind, error) = match error {
        Error::NoStorageAccess(source) => (PortErrorKind::Denied, KeychainError::Locked(source)),
        // These two contain the stored bytes, so they are replaced.
        Error::BadEncoding(_) | Error::BadDataFormat(..) => (PortErrorKind::Corrupt, KeychainError::NotText),
        Error::Ambiguous(_) => (PortErrorKind::Corrupt, KeychainError::Ambiguous),
        other => (PortErrorKind::Unavailable, KeychainError::Failed(other.to_string())),
    };
    CredentialsError::new(kind, error)
}

#[cfg(test)]
mod tests;
