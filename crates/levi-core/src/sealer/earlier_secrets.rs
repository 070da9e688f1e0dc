//! Rows whose session has got another secret between sealing and sending.

use std::collections::HashMap;
use std::sync::Arc;

use levi_crypto::MessageKey;
use levi_crypto::message::MessagePosition;
use levi_outbox::Reason;
use levi_transport::rows::MessageRow;
use levi_types::{SessionId, StoreError, UserId};
use rand_core::CryptoRng;

use super::{Resealed, Sealer};
use crate::engine::open_sealed;
use crate::sync_error::SyncError;

/// Seals rows under an earlier secret again before they are sent, because the other devices may never have been given that
/// secret: another device began the session.
pub(crate) struct EarlierSecrets<'a> {
    sealer: &'a Sealer,
    user: &'a UserId,
    /// Of the sessions that have had another secret, or may have had one.
    sessions: HashMap<&'a SessionId, Earlier>,
}

/// What a session was sealed with before.
enum Earlier {
    Keys(Arc<[MessageKey]>),
    /// The daemon's store cannot say, for this reason.
    Unknown(Reason),
}

impl EarlierSecrets<'_> {
    /// The row under the present secret of its session, if it is under an earlier one and this device has the keys.
    pub(crate) fn resealed(&self, message_id: &str, payload: &[u8], random: &mut dyn CryptoRng) -> Resealed {
        let Ok(row) = serde_json::from_slice::<MessageRow>(payload) else { return Resealed::AsStored };
        let Some(session_id) = row.session_id.as_ref() else { return Resealed::AsStored };
        let Some(earlier) = self.sessions.get(session_id) else { return Resealed::AsStored };
        let position = MessagePosition { session_id, sequence_number: row.sequence_number };
        let opened = match earlier {
            Earlier::Keys(keys) => keys.iter().find_map(|key| self.opened(&row, position, key)),
            Earlier::Unknown(_) if self.is_under_present(&row, position) => None,
            Earlier::Unknown(reason) => return Resealed::Wait(reason.clone()),
        };
        match opened {
            Some(content) => self.sealer.sealed_again(self.user, position, message_id, &content, random),
            None => Resealed::AsStored,
        }
    }

    fn is_under_present(&self, row: &MessageRow, position: MessagePosition<'_>) -> bool {
        let sealing = self.sealer.sealing_of_waiting(Some(self.user), position.session_id);
        sealing.is_ok_and(|sealing| self.opened(row, position, sealing.key.session()).is_some())
    }

    fn opened(&self, row: &MessageRow, position: MessagePosition<'_>, key: &MessageKey) -> Option<String> {
        let list = self.sealer.device_list();
        open_sealed(row, position, key, |epoch| list?.epoch_secret(self.user, epoch)).ok()
    }
}

impl Sealer {
    /// What is to be sealed again of the messages of these sessions. Asks the daemon's store once for each session.
    pub(crate) fn earlier_secrets<'a>(
        &'a self,
        user: Option<&'a UserId>,
        sessions: impl Iterator<Item = &'a SessionId>,
    ) -> Option<EarlierSecrets<'a>> {
        let user = user?;
        let earlier = sessions.filter_map(|session| match self.earlier_keys(user, session) {
            Ok(keys) if keys.is_empty() => None,
            Ok(keys) => Some((session, Earlier::Keys(keys))),
            Err(error) => Some((session, Earlier::Unknown(SyncError::from(error).to_reason()))),
        });
        let sessions: HashMap<_, _> = earlier.collect();
        (!sessions.is_empty()).then_some(EarlierSecrets { sealer: self, user, sessions })
    }

    fn earlier_keys(&self, user: &UserId, session: &SessionId) -> Result<Arc<[MessageKey]>, StoreError> {
        match self.cache.earlier_keys(user, session) {
            Some(known) => Ok(known),
            None => Ok(self.cache.sealed_with_before(user, session, self.own_earlier(user, session)?)),
        }
    }
}
