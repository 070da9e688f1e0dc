//! Rows whose session has got another secret between sealing and sending.

use std::collections::HashMap;
use std::sync::Arc;

use levi_crypto::MessageKey;
use levi_crypto::message::MessagePosition;
use levi_transport::rows::MessageRow;
use levi_types::{SessionId, UserId};
use rand_core::CryptoRng;

use super::Sealer;
use crate::engine::open_sealed;

/// Seals rows under an earlier secret again before they are sent, because the other devices may never have been given that
/// secret: another device began the session.
pub(crate) struct EarlierSecrets<'a> {
    sealer: &'a Sealer,
    user: &'a UserId,
    /// Of the sessions that have had another secret.
    keys: HashMap<&'a SessionId, Arc<[MessageKey]>>,
}

impl EarlierSecrets<'_> {
    /// The row under the present secret of its session, if it is under an earlier one and this device has the keys.
    pub(crate) fn resealed(
        &self,
        message_id: &str,
        payload: &[u8],
        random: &mut dyn CryptoRng,
    ) -> Option<Vec<u8>> {
        let row: MessageRow = serde_json::from_slice(payload).ok()?;
        let session_id = row.session_id.as_ref()?;
        let keys = self.keys.get(session_id)?;
        let sealing = self.sealer.sealing_of_waiting(Some(self.user), session_id).ok()?;
        let list = self.sealer.device_list();
        let epoch_secret = |epoch| list?.epoch_secret(self.user, epoch);
        let position = MessagePosition { session_id, sequence_number: row.sequence_number };
        let opened = keys.iter().find_map(|key| open_sealed(&row, position, key, epoch_secret).ok())?;
        let sealed = self.sealer.encode(&sealing, position, message_id, &opened, random);
        sealed.ok().map(|sealed| sealed.payload)
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
        let keys = sessions.map(|session| (session, self.earlier_keys(user, session)));
        let keys: HashMap<_, _> = keys.filter(|(_, keys)| !keys.is_empty()).collect();
        (!keys.is_empty()).then_some(EarlierSecrets { sealer: self, user, keys })
    }

    fn earlier_keys(&self, user: &UserId, session: &SessionId) -> Arc<[MessageKey]> {
        if let Some(known) = self.cache.earlier_keys(user, session) {
            return known;
        }
        match self.own_earlier(user, session) {
            Ok(stored) => self.cache.sealed_with_before(user, session, stored),
            Err(error) => {
                tracing::debug!(%session, "whether it had another secret is not known: {error}");
                Arc::default()
            }
        }
    }
}
