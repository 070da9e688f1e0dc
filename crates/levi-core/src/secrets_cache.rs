mod keys;
mod state;
mod user;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use levi_crypto::envelope::DevicePublicKey;
use levi_crypto::message_v2::Order;
use levi_crypto::{MessageKey, SessionSecret};
use levi_devices::keyring::Keyring;
use levi_outbox::Overwrite;
use levi_types::{AuthError, DeviceId, SessionId, UserId};

pub use self::keys::HighestKnown;
use self::keys::Keys;
pub(crate) use self::keys::{KeySource, ReadingKey};
use self::state::State;
use self::user::User;
use crate::sealing_key::{Sealing, SealingMode};

/// The session keys of one user, in memory only, shared by all clones. `Debug` shows no key.
///
/// All clones act for the same user: the first one that is named. When another user signs in, and
/// when the user signs out, every key is dropped.
///
/// Of each session it has at most one key to seal with, which comes from this device's own store or
/// daemon, and the keys to read with: that one, earlier ones, and those that other devices sealed
/// for this one. A key that the server brought is never sealed with, unless the daemon trusts its
/// sender.
#[derive(Clone, Default)]
pub struct SecretsCache {
    state: Arc<Mutex<State>>,
}

impl SecretsCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key that seals messages of `session`, if it is known.
    pub fn key(&self, session: &SessionId) -> Option<MessageKey> {
        self.state().sealing(session)
    }

    /// Remembers the secret of `session` for the present user, to seal and to read with. It must
    /// come from this device's own store or daemon. After a sign-out nothing is remembered.
    pub fn remember(&self, session: SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if !matches!(state.user, User::SignedOut(_)) {
            state.insert(session, secret);
        }
    }

    /// Forgets the key of `session`, on revocation.
    pub fn forget(&self, session: &SessionId) {
        self.state().sessions.remove(session);
    }

    /// Forgets every key.
    pub fn clear(&self) {
        self.state().forget();
    }

    /// `user` is signed in from now on. The keys of another one are dropped.
    pub fn signed_in(&self, user: &UserId) {
        let mut state = self.state();
        if state.user.id() != Some(user) {
            state.forget_devices();
        }
        if state.user.id().is_some_and(|known| known != user) {
            state.forget();
        }
        state.user = User::SignedIn(user.clone());
        state.awaits_sign_in = false;
    }

    /// `user` signed in last, as the outbox knows. Says nothing once somebody was named here.
    pub(crate) fn was_used_by(&self, user: &UserId) {
        let mut state = self.state();
        if state.user == User::Unknown {
            state.user = User::Last(user.clone());
        }
    }

    /// Nobody is signed in any more. Every key is dropped.
    pub fn signed_out(&self) {
        let mut state = self.state();
        state.forget();
        state.user = User::SignedOut(state.user.id().cloned());
        state.awaits_sign_in = false;
    }

    /// After a [sign-out](Self::signed_out): the tokens of that sign-in are gone, so a sign-in that
    /// is asked for from now on is a new one.
    pub fn await_sign_in(&self) {
        let mut state = self.state();
        state.awaits_sign_in = matches!(state.user, User::SignedOut(_));
    }

    /// Whether a sign-in that is asked for now is a new one.
    pub(crate) fn awaits_sign_in(&self) -> bool {
        self.state().awaits_sign_in
    }

    /// For whom something is recorded now: the user who is signed in or, after a sign-out, the last
    /// one.
    pub fn user(&self) -> Option<UserId> {
        self.state().user.id().cloned()
    }

    /// Whether nobody was named yet, nor signed out.
    pub(crate) fn is_nobodys(&self) -> bool {
        matches!(self.state().user, User::Unknown | User::Last(_))
    }

    /// The user, and how message `sequence_number` of `session` is sealed for this user, as of the
    /// same moment. `None`: a key is not known, or not what was sealed before.
    pub(crate) fn user_and_sealing(
        &self,
        session: &SessionId,
        sequence_number: i64,
        overwrite: Overwrite,
    ) -> (Option<UserId>, Option<Sealing>) {
        let mut state = self.state();
        let sealing = state.sealing_of(session, sequence_number, overwrite, None);
        (state.user.id().cloned(), sealing)
    }

    /// How message `sequence_number` of `session` is sealed, unless the keys are another user's by
    /// now.
    pub(crate) fn sealing(
        &self,
        user: Option<&UserId>,
        session: &SessionId,
        sequence_number: i64,
        overwrite: Overwrite,
        before: HighestKnown,
    ) -> Option<Sealing> {
        let mut state = self.state();
        if state.user.id() != user {
            return None;
        }
        state.sealing_of(session, sequence_number, overwrite, Some(before))
    }

    /// The server's highest number of `session`, which `user` asked for; `None` if it has no
    /// message.
    pub(crate) fn heard_highest(&self, user: &UserId, session: &SessionId, highest: Option<i64>) {
        let mut state = self.state();
        if state.is_of(user) {
            state.keys_of(session.clone()).heard(highest);
        }
    }

    /// Whether a signed device list says how messages are sealed.
    pub(crate) fn uses_device_list(&self) -> bool {
        self.state().devices.is_used
    }

    /// How messages that waited for a key are sealed, unless the keys are another user's by now.
    /// Whether higher numbers were sealed before them is not known, so they count as late.
    pub(crate) fn sealing_of_waiting(&self, user: Option<&UserId>, session: &SessionId) -> Option<Sealing> {
        let mut state = self.state();
        if state.user.id() != user {
            return None;
        }
        Some(Sealing { key: state.key_in_mode(session)?, order: Order::Late })
    }

    /// From now on a signed device list says how messages are sealed.
    pub(crate) fn use_device_list(&self) {
        let mut state = self.state();
        state.devices.is_used = true;
        state.forget_devices();
    }

    /// What the list said for the present user, if that is `user`.
    pub(crate) fn mode(&self, user: &UserId) -> Option<SealingMode> {
        let state = self.state();
        state.devices.mode.clone().filter(|_| state.user.id() == Some(user))
    }

    /// Whether keys of `user` are kept: this user is signed in, or was last and did not sign out.
    pub(crate) fn keeps_keys_of(&self, user: &UserId) -> bool {
        let state = self.state();
        state.user.id() == Some(user) && !matches!(state.user, User::SignedOut(_))
    }

    /// Whether the list was asked since `user` signed in.
    pub(crate) fn knows_mode(&self, user: &UserId) -> bool {
        let state = self.state();
        state.devices.mode.is_some() && state.user.id() == Some(user)
    }

    /// The list is to be asked again.
    pub(crate) fn forget_mode(&self, user: &UserId) {
        let mut state = self.state();
        if state.user.id() == Some(user) {
            state.forget_devices();
        }
    }

    /// The list says for `user` how messages are sealed, and has these secrets of epochs. Whether
    /// `user` is the present one.
    pub(crate) fn seal_in(&self, user: &UserId, mode: SealingMode, keyring: Option<Keyring>) -> bool {
        let mut state = self.state();
        let is_present = state.user.id() == Some(user) && !matches!(state.user, User::SignedOut(_));
        if is_present {
            state.forget_devices();
            (state.devices.mode, state.devices.keyring) = (Some(mode), keyring);
        }
        is_present
    }

    /// The secrets of the list's epochs, for `user`.
    pub(crate) fn keyring(&self, user: &UserId) -> Option<Keyring> {
        let state = self.state();
        state.devices.keyring.clone().filter(|_| state.user.id() == Some(user))
    }

    /// As [`key`](Self::key), unless the keys are another user's by now.
    pub(crate) fn key_of(&self, user: Option<&UserId>, session: &SessionId) -> Option<MessageKey> {
        let state = self.state();
        if state.user.id() == user { state.sealing(session) } else { None }
    }

    /// As [`remember`](Self::remember), unless the keys are another user's by now.
    pub(crate) fn remember_of(&self, user: Option<&UserId>, session: SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if state.user.id() == user && !matches!(state.user, User::SignedOut(_)) {
            state.insert(session, secret);
        }
    }

    /// Remembers a secret of `session` to read with only, for `user`.
    pub(crate) fn remember_to_read(
        &self,
        user: &UserId,
        session: SessionId,
        secret: &SessionSecret,
        source: KeySource,
    ) {
        let mut state = self.state();
        if state.is_of(user) {
            let key = secret.message_key();
            state.keys_of(session).read_with(ReadingKey { key, source });
        }
    }

    /// Seals with the secret of a trusted sender, unless this device has a secret of its own.
    pub(crate) fn trust(&self, user: &UserId, session: SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if state.is_of(user) {
            state.keys_of(session).sealing.get_or_insert_with(|| secret.message_key());
        }
    }

    /// The keys to read `session` with, the latest first.
    pub(crate) fn reading_keys(&self, user: &UserId, session: &SessionId) -> Vec<ReadingKey> {
        let state = self.state();
        let keys = state.sessions.get(session).filter(|_| state.is_of(user));
        keys.map(|keys| keys.reading.clone()).unwrap_or_default()
    }

    /// Nothing of `session` is sent under `secret`: the server has another one of it, which the other devices have.
    pub(crate) fn refuse(&self, user: &UserId, session: &SessionId, secret: &SessionSecret) {
        let mut state = self.state();
        if state.is_of(user) {
            state.keys_of(session.clone()).refused = Some(secret.message_key());
        }
    }

    /// The other devices have the secret of `session` that this device has.
    pub(crate) fn accept(&self, session: &SessionId) {
        if let Some(keys) = self.state().sessions.get_mut(session) {
            keys.refused = None;
        }
    }

    /// Whether the secret of `session` on this device is [refused](Self::refuse).
    pub(crate) fn is_refused(&self, session: &SessionId) -> bool {
        self.state().sessions.get(session).is_some_and(Keys::is_refused)
    }

    /// What this device sealed `session` with before its present secret. `None`: its store was not asked.
    pub(crate) fn earlier_keys(&self, user: &UserId, session: &SessionId) -> Option<Arc<[MessageKey]>> {
        let state = self.state();
        state.sessions.get(session).filter(|_| state.is_of(user))?.earlier.clone()
    }

    /// As [`earlier_keys`](Self::earlier_keys), after this device's store was asked, which has `stored`.
    pub(crate) fn sealed_with_before(
        &self,
        user: &UserId,
        session: &SessionId,
        stored: Vec<MessageKey>,
    ) -> Arc<[MessageKey]> {
        let mut state = self.state();
        if state.is_of(user) {
            state.keys_of(session.clone()).sealed_with_before(stored)
        } else {
            Arc::default()
        }
    }

    /// The public keys that `sender` had when it sealed what is remembered here.
    pub(crate) fn sender_keys(&self, sender: &DeviceId) -> Vec<DevicePublicKey> {
        let state = self.state();
        let mut keys: Vec<DevicePublicKey> = state
            .sessions
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

    /// Refuses a sign-in of another user than the one that all who share this cache act for. The
    /// first one that is asked about becomes the user.
    pub(crate) fn check(&self, found: &UserId) -> Result<(), AuthError> {
        let mut state = self.state();
        match &state.user {
            User::Unknown => {
                state.user = User::SignedIn(found.clone());
                Ok(())
            }
            User::Last(user) => {
                if user != found {
                    state.forget();
                }
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
        // A panic cannot leave the state half changed in a way that matters: keys are dropped
        // first.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SecretsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SecretsCache")
            .field("user", &state.user)
            .field("sessions", &state.sessions.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
