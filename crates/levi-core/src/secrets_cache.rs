use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use levi_crypto::envelope::DevicePublicKey;
use levi_crypto::{MessageKey, SessionSecret};
use levi_types::{DeviceId, SessionId};

/// The greatest number of sessions. Beyond it an arbitrary one is forgotten, and looked up again when needed.
const MOST_SESSIONS: usize = 4096;

/// The greatest number of keys of one session to read with.
const MOST_KEYS: usize = 16;

/// Session keys, in memory only, shared by all clones. `Debug` shows no key.
///
/// Of each session it has at most one key to seal with, which comes from this device's own store or daemon, and the
/// keys to read with: that one, earlier ones, and those that other devices sealed for this one. A key that the server
/// brought is never sealed with, unless the daemon trusts its sender.
#[derive(Clone, Default)]
pub struct SecretsCache {
    sessions: Arc<Mutex<HashMap<SessionId, Keys>>>,
}

/// The keys of one session.
#[derive(Default)]
struct Keys {
    sealing: Option<MessageKey>,
    /// The latest first.
    reading: Vec<ReadingKey>,
}

/// A key to read with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ReadingKey {
    pub(crate) key: MessageKey,
    pub(crate) source: KeySource,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// This device's own store or daemon.
    ThisDevice,
    /// A device that had this public key.
    Sender(DeviceId, DevicePublicKey),
}

impl SecretsCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key that seals messages of `session`, if it is known.
    pub fn key(&self, session: &SessionId) -> Option<MessageKey> {
        self.sessions().get(session)?.sealing.clone()
    }

    /// Remembers the secret of `session` to seal and to read with. It must come from this device's own store or daemon.
    pub fn remember(&self, session: SessionId, secret: &SessionSecret) {
        let key = secret.message_key();
        self.change(session, |keys| {
            keys.sealing = Some(key.clone());
            keys.read_with(ReadingKey { key, source: KeySource::ThisDevice });
        });
    }

    /// Remembers a secret of `session` to read with only.
    pub(crate) fn remember_to_read(&self, session: SessionId, secret: &SessionSecret, source: KeySource) {
        let key = secret.message_key();
        self.change(session, |keys| keys.read_with(ReadingKey { key, source }));
    }

    /// Seals with the secret of a trusted sender, unless this device has a secret of its own.
    pub(crate) fn trust(&self, session: SessionId, secret: &SessionSecret) {
        self.change(session, |keys| {
            keys.sealing.get_or_insert_with(|| secret.message_key());
        });
    }

    /// The keys to read `session` with, the latest first.
    pub(crate) fn reading_keys(&self, session: &SessionId) -> Vec<ReadingKey> {
        self.sessions().get(session).map(|keys| keys.reading.clone()).unwrap_or_default()
    }

    /// The public keys that `sender` had when it sealed what is remembered here.
    pub(crate) fn sender_keys(&self, sender: &DeviceId) -> Vec<DevicePublicKey> {
        let sessions = self.sessions();
        let mut keys: Vec<DevicePublicKey> = sessions
            .values()
            .flat_map(|keys| &keys.reading)
            .filter_map(|reading| match &reading.source {
                KeySource::Sender(device, key) if device == sender => Some(*key),
                _ => None,
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Forgets the keys of `session`, on sign-out or revocation.
    pub fn forget(&self, session: &SessionId) {
        self.sessions().remove(session);
    }

    /// Forgets every key.
    pub fn clear(&self) {
        self.sessions().clear();
    }

    fn change(&self, session: SessionId, change: impl FnOnce(&mut Keys)) {
        let mut sessions = self.sessions();
        if sessions.len() >= MOST_SESSIONS
            && !sessions.contains_key(&session)
            && let Some(any) = sessions.keys().next().cloned()
        {
            sessions.remove(&any);
        }
        change(sessions.entry(session).or_default());
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Keys>> {
        // A panic cannot leave the map half changed, because no step of a change panics.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn read_with(&mut self, key: ReadingKey) {
        self.reading.retain(|known| *known != key);
        self.reading.insert(0, key);
        self.reading.truncate(MOST_KEYS);
    }
}

impl fmt::Debug for SecretsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsCache").field("sessions", &self.sessions().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    use super::*;

    #[test]
    fn a_secret_that_the_server_brought_is_read_with_and_never_sealed_with() {
        let secret = || SessionSecret::generate(&mut UnwrapErr(SysRng));
        let (own, later, brought) = (secret(), secret(), secret());
        let sender = levi_crypto::envelope::DevicePrivateKey::generate(&mut UnwrapErr(SysRng)).public_key();
        let cache = SecretsCache::new();
        let session = SessionId::from("s");
        let keys = |cache: &SecretsCache| -> Vec<MessageKey> {
            cache.reading_keys(&session).into_iter().map(|reading| reading.key).collect()
        };
        cache.remember_to_read(session.clone(), &brought, KeySource::Sender("d".into(), sender));
        assert_eq!(cache.key(&session), None);
        cache.remember(session.clone(), &own);
        cache.trust(session.clone(), &brought);
        assert_eq!(cache.key(&session), Some(own.message_key()), "its own comes first");
        cache.remember(session.clone(), &later);
        assert_eq!(cache.key(&session), Some(later.message_key()));
        assert_eq!(keys(&cache), [later, own, brought].map(|secret| secret.message_key()));
        assert_eq!(cache.sender_keys(&"d".into()), [sender]);
    }
}
