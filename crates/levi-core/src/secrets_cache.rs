use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use levi_crypto::{MessageKey, SessionSecret};
use levi_types::{AuthError, SessionId, UserId};

/// The greatest number of keys. Beyond it an arbitrary one is forgotten, and looked up again when needed.
const MOST_SESSIONS: usize = 4096;

/// The session keys of one user, in memory only, shared by all clones. `Debug` shows no key.
///
/// Whoever shares a cache acts for the same user: the first one that is named. When another user signs in,
/// and when the user signs out, every key is dropped.
#[derive(Clone, Default)]
pub struct SecretsCache {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    user: User,
    keys: HashMap<SessionId, MessageKey>,
}

/// Whose keys they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum User {
    /// Nobody was named yet.
    #[default]
    Unknown,
    SignedIn(UserId),
    /// No key is kept. What is recorded now is the last user's.
    SignedOut(Option<UserId>),
}

impl User {
    fn id(&self) -> Option<&UserId> {
        match self {
            Self::Unknown | Self::SignedOut(None) => None,
            Self::SignedIn(user) | Self::SignedOut(Some(user)) => Some(user),
        }
    }
}

impl SecretsCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of `session`, if it is known.
    pub fn key(&self, session: &SessionId) -> Option<MessageKey> {
        self.state().keys.get(session).cloned()
    }

    /// Remembers the key of `session` for the present user. After a sign-out nothing is remembered.
    pub fn remember(&self, session: SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if !matches!(state.user, User::SignedOut(_)) {
            state.insert(session, secret);
        }
    }

    /// Forgets the key of `session`, on revocation.
    pub fn forget(&self, session: &SessionId) {
        self.state().keys.remove(session);
    }

    /// Forgets every key.
    pub fn clear(&self) {
        self.state().keys.clear();
    }

    /// `user` is signed in from now on. The keys of another one are dropped.
    pub fn signed_in(&self, user: &UserId) {
        let mut state = self.state();
        if state.user.id().is_some_and(|known| known != user) {
            state.keys.clear();
        }
        state.user = User::SignedIn(user.clone());
    }

    /// Nobody is signed in any more. Every key is dropped.
    pub fn signed_out(&self) {
        let mut state = self.state();
        state.keys.clear();
        state.user = User::SignedOut(state.user.id().cloned());
    }

    /// For whom something is recorded now: the user who is signed in or, after a sign-out, the last one.
    pub fn user(&self) -> Option<UserId> {
        self.state().user.id().cloned()
    }

    /// The user and the key of `session`, as of the same moment.
    pub(crate) fn user_and_key(&self, session: &SessionId) -> (Option<UserId>, Option<MessageKey>) {
        let state = self.state();
        (state.user.id().cloned(), state.keys.get(session).cloned())
    }

    /// As [`key`](Self::key), unless the keys are another user's by now.
    pub(crate) fn key_of(&self, user: Option<&UserId>, session: &SessionId) -> Option<MessageKey> {
        let state = self.state();
        if state.user.id() == user { state.keys.get(session).cloned() } else { None }
    }

    /// As [`remember`](Self::remember), unless the keys are another user's by now.
    pub(crate) fn remember_of(&self, user: Option<&UserId>, session: SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if state.user.id() == user && !matches!(state.user, User::SignedOut(_)) {
            state.insert(session, secret);
        }
    }

    /// Refuses a sign-in of another user than the one that all who share this cache act for. The first one
    /// that is asked about becomes the user.
    pub(crate) fn check(&self, found: &UserId) -> Result<(), AuthError> {
        let mut state = self.state();
        match &state.user {
            User::Unknown => {
                state.user = User::SignedIn(found.clone());
                Ok(())
            }
            User::SignedIn(user) if user == found => Ok(()),
            User::SignedIn(user) => {
                Err(AuthError::OtherUser { expected: user.clone(), found: found.clone() })
            }
            User::SignedOut(_) => Err(AuthError::SignedOut),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic cannot leave the state half changed in a way that matters: keys are dropped first.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, session: SessionId, secret: &SessionSecret) {
        if self.keys.len() >= MOST_SESSIONS
            && let Some(any) = self.keys.keys().next().cloned()
        {
            self.keys.remove(&any);
        }
        self.keys.insert(session, secret.message_key());
    }
}

impl fmt::Debug for SecretsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SecretsCache")
            .field("user", &state.user)
            .field("sessions", &state.keys.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use levi_crypto::SessionSecret;
    use levi_types::AuthError;
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    use super::SecretsCache;

    #[test]
    fn no_key_outlives_a_sign_out_or_passes_to_another_user() {
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        let (cache, ada, ben) = (SecretsCache::new(), "ada".into(), "ben".into());
        cache.remember("s".into(), &secret);
        cache.signed_in(&ada);
        assert!(cache.key(&"s".into()).is_some(), "the first user takes over what was remembered before");
        cache.signed_in(&ada);
        assert!(
            cache.key_of(Some(&ada), &"s".into()).is_some()
                && cache.key_of(Some(&ben), &"s".into()).is_none()
        );
        cache.signed_in(&ben);
        assert!(cache.key(&"s".into()).is_none());
        cache.remember_of(Some(&ada), "s".into(), &secret);
        assert!(cache.key(&"s".into()).is_none(), "it was looked up before ben signed in");
        assert_eq!(cache.check(&ada), Err(AuthError::OtherUser { expected: ben.clone(), found: ada }));
        cache.remember("t".into(), &secret);
        cache.signed_out();
        cache.remember("t".into(), &secret);
        assert!(cache.key(&"t".into()).is_none());
        assert_eq!((cache.user(), cache.check(&ben)), (Some(ben), Err(AuthError::SignedOut)));
    }
}
