//! Sessions of which nobody has an envelope yet, because the server took their rows as new ones.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_types::SessionId;

/// They are kept in memory only: where it is not known that a session is new, this device's envelope is read first.
/// Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Begun(Arc<Mutex<HashSet<SessionId>>>);

impl Begun {
    fn sessions(&self) -> MutexGuard<'_, HashSet<SessionId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server had no row of the session, and has one now.
    pub(super) fn note(&self, session: &SessionId) {
        self.sessions().insert(session.clone());
    }

    /// Whether the session is new. It is not any more, because it is given a secret or is gone.
    pub(super) fn take(&self, session: &SessionId) -> bool {
        self.sessions().remove(session)
    }
}
