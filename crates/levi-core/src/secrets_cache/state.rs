//! What a cache of secrets holds of the present user.

use std::collections::HashMap;

use levi_crypto::message_v2::Order;
use levi_crypto::{MessageKey, SessionSecret};
use levi_devices::keyring::Keyring;
use levi_outbox::Overwrite;
use levi_types::{SessionId, UserId};

use super::keys::{HighestKnown, KeySource, Keys, ReadingKey};
use super::user::User;
use crate::sealing_key::{Sealing, SealingKey, SealingMode};

/// The greatest number of sessions. Beyond it an arbitrary one is forgotten, and looked up again
/// when needed.
const MOST_SESSIONS: usize = 4096;

#[derive(Default)]
pub(super) struct State {
    pub(super) user: User,
    /// Whether the sign-in that is asked for next is a new one, after a sign-out.
    pub(super) awaits_sign_in: bool,
    pub(super) sessions: HashMap<SessionId, Keys>,
    pub(super) devices: Devices,
}

/// What a signed device list says for the present user.
#[derive(Default)]
pub(super) struct Devices {
    /// Whether there is a list to ask. If there is none, messages are sealed in version 1.
    pub(super) is_used: bool,
    /// `None`: the list was not asked since this user signed in.
    pub(super) mode: Option<SealingMode>,
    pub(super) keyring: Option<Keyring>,
}

impl State {
    pub(super) fn sealing(&self, session: &SessionId) -> Option<MessageKey> {
        self.sessions.get(session)?.sealing.clone()
    }

    pub(super) fn sealing_of(
        &mut self,
        session: &SessionId,
        sequence_number: i64,
        overwrite: Overwrite,
        before: Option<HighestKnown>,
    ) -> Option<Sealing> {
        let key = self.key_in_mode(session)?;
        let keys = self.sessions.get_mut(session)?;
        let order = match &key {
            // Nobody asks about the order of version 1.
            SealingKey::Version1(_) => {
                keys.note(sequence_number);
                Order::Rising
            }
            SealingKey::Version2 { .. } => keys.order(sequence_number, overwrite, before)?,
        };
        Some(Sealing { key, order })
    }

    /// The key of `session` as the list says. `None`: the session's key is not known, or nothing is
    /// sealed now.
    pub(super) fn key_in_mode(&mut self, session: &SessionId) -> Option<SealingKey> {
        let keys = self.sessions.get_mut(session)?;
        if keys.in_mode.is_none() {
            let mode = match &self.devices {
                Devices { is_used: false, .. } => &SealingMode::Version1,
                Devices { mode, .. } => mode.as_ref()?,
            };
            keys.in_mode = SealingKey::new(keys.sealing.as_ref()?, session, mode);
        }
        keys.in_mode.clone()
    }

    /// Forgets every key and what the list said.
    pub(super) fn forget(&mut self) {
        self.sessions.clear();
        self.forget_devices();
    }

    pub(super) fn forget_devices(&mut self) {
        (self.devices.mode, self.devices.keyring) = (None, None);
        self.sessions.values_mut().for_each(|keys| keys.in_mode = None);
    }

    /// Whether keys of `user` are kept.
    pub(super) fn is_of(&self, user: &UserId) -> bool {
        matches!(&self.user, User::SignedIn(known) if known == user)
    }

    pub(super) fn insert(&mut self, session: SessionId, secret: &SessionSecret) {
        let key = secret.message_key();
        let keys = self.keys_of(session);
        if keys.sealing.as_ref() != Some(&key) {
            (keys.sealing, keys.in_mode, keys.earlier) = (Some(key.clone()), None, None);
        }
        keys.read_with(ReadingKey { key, source: KeySource::ThisDevice });
    }

    pub(super) fn keys_of(&mut self, session: SessionId) -> &mut Keys {
        if self.sessions.len() >= MOST_SESSIONS
            && !self.sessions.contains_key(&session)
            && let Some(any) = self.sessions.keys().next().cloned()
        {
            self.sessions.remove(&any);
        }
        self.sessions.entry(session).or_default()
    }
}
