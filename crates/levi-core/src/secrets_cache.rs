use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use levi_crypto::{MessageKey, SessionSecret};
use levi_types::SessionId;

/// The greatest number of keys. Beyond it an arbitrary one is forgotten, and looked up again when needed.
const MOST_SESSIONS: usize = 4096;

/// Session keys, in memory only, shared by all clones. `Debug` shows no key.
#[derive(Clone, Default)]
pub struct SecretsCache {
    keys: Arc<Mutex<HashMap<SessionId, MessageKey>>>,
}

impl SecretsCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of `session`, if it is known.
    pub fn key(&self, session: &SessionId) -> Option<MessageKey> {
        self.keys().get(session).cloned()
    }

    /// Remembers the key of `session`.
    pub fn remember(&self, session: SessionId, secret: &SessionSecret) {
        let mut keys = self.keys();
        if keys.len() >= MOST_SESSIONS
            && let Some(any) = keys.keys().next().cloned()
        {
            keys.remove(&any);
        }
        keys.insert(session, secret.message_key());
    }

    /// Forgets the key of `session`, on sign-out or revocation.
    pub fn forget(&self, session: &SessionId) {
        self.keys().remove(session);
    }

    /// Forgets every key.
    pub fn clear(&self) {
        self.keys().clear();
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, MessageKey>> {
        // A panic cannot leave the map half changed, because every change is one call.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SecretsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsCache").field("sessions", &self.keys().len()).finish()
    }
}
