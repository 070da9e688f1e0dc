//! What the steps of session sync need: one repository's row, one session's row, one secret to all devices.

use std::sync::{Arc, Mutex};

use levi_crypto::SessionSecret;
use levi_types::{Clock, SessionId, SessionStore, UserId};
use rand_core::CryptoRng;

use super::adopted::Adopted;
use super::begun::Begun;
use super::skipped::Skipped;
use crate::device_list::SignedDeviceList;
use crate::opening::Opening;
use crate::read_policy::Retries;
use crate::server::{Server, ThisDevice};
use crate::sync_error::{EncryptionError, SyncError};

/// The random source, shared by steps that run concurrently.
pub(crate) type SharedRandom = Arc<Mutex<dyn CryptoRng + Send>>;

/// What the steps need.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) server: Server,
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) device: ThisDevice,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: SharedRandom,
    pub(crate) adopted: Adopted,
    pub(crate) begun: Begun,
    pub(crate) device_list: Option<SignedDeviceList>,
    pub(crate) skipped: Skipped,
    /// How often a page of sessions to be shared is asked for again.
    pub(crate) retries: Retries,
}

impl Steps {
    /// Refuses to act for `user` while somebody else is signed in.
    pub(crate) async fn check_user(&self, user: Option<&UserId>) -> Result<(), SyncError> {
        let Some(user) = user else { return Ok(()) };
        let found = self.server.session().await?.user_id;
        if found == *user { Ok(()) } else { Err(SyncError::OtherUser { expected: user.clone(), found }) }
    }

    /// Refuses a session that the daemon's store knows as that of another user than `user`.
    pub(crate) fn check_session(&self, user: Option<&UserId>, session: &SessionId) -> Result<(), SyncError> {
        let owner = self.store.session_user(session)?;
        match (owner, user) {
            (Some(expected), Some(found)) if expected != *found => {
                Err(SyncError::OtherUser { expected, found: found.clone() })
            }
            _ => Ok(()),
        }
    }

    /// The session's secret, from the daemon's store.
    pub(crate) fn stored_secret(&self, session: &SessionId) -> Result<SessionSecret, SyncError> {
        let stored = self.store.session_secret(session)?;
        let stored = stored.ok_or_else(|| SyncError::SecretNotFound(session.clone()))?;
        // Exposed to be parsed; it goes on as a `SessionSecret`.
        Ok(SessionSecret::parse(stored.expose()).map_err(EncryptionError::from)?)
    }

    /// What opens this device's envelopes.
    pub(super) fn opening(&self) -> Opening {
        Opening {
            device: self.device.clone(),
            cache: self.server.cache.clone(),
            store: Some(Arc::clone(&self.store)),
            device_list: self.device_list.clone(),
        }
    }
}
