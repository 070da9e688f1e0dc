//! Rows that are sealed again just before they are sent.

use levi_crypto::message::MessagePosition;
use levi_outbox::Reason;
use levi_types::{SessionId, UserId};
use rand_core::CryptoRng;

use super::Sealer;
use super::earlier_secrets::EarlierSecrets;
use super::present_epoch::PresentEpoch;

/// What is sent of a stored row.
pub(crate) enum Resealed {
    /// The row as it is stored.
    AsStored,
    /// This one.
    Again(Vec<u8>),
    /// Nothing yet: it is not known what the row is to be sealed under, for this reason.
    Wait(Reason),
}

/// Seals rows again where keys have changed since they were stored.
pub(crate) struct Resealing<'a> {
    in_epoch: Option<PresentEpoch<'a>>,
    earlier: Option<EarlierSecrets<'a>>,
}

impl Resealing<'_> {
    /// The epoch of the device list in which the rows are sent.
    pub(crate) fn epoch(&self) -> Option<u32> {
        self.in_epoch.as_ref().map(PresentEpoch::number)
    }

    /// What is sent of a row.
    pub(crate) fn resealed(&self, message_id: &str, payload: &[u8], random: &mut dyn CryptoRng) -> Resealed {
        let in_epoch = self.in_epoch.as_ref().map(|epoch| epoch.resealed(message_id, payload, random));
        match (in_epoch, &self.earlier) {
            (None | Some(Resealed::AsStored), Some(earlier)) => earlier.resealed(message_id, payload, random),
            (in_epoch, _) => in_epoch.unwrap_or(Resealed::AsStored),
        }
    }
}

impl Sealer {
    /// What is to be sealed again of the messages of these sessions of `user`.
    pub(crate) fn resealing<'a>(
        &'a self,
        user: Option<&'a UserId>,
        sessions: impl Iterator<Item = &'a SessionId>,
    ) -> Resealing<'a> {
        Resealing { in_epoch: self.present_epoch(user), earlier: self.earlier_secrets(user, sessions) }
    }

    /// The content under the present key of its session. Without that key the row waits: what it is sealed under now is
    /// not for those who read the session.
    pub(super) fn sealed_again(
        &self,
        user: &UserId,
        position: MessagePosition<'_>,
        message_id: &str,
        content: &str,
        random: &mut dyn CryptoRng,
    ) -> Resealed {
        let sealing = match self.sealing_of_waiting(Some(user), position.session_id) {
            Ok(sealing) => sealing,
            Err(no_key) => return Resealed::Wait(no_key.into_reason()),
        };
        match self.encode(&sealing, position, message_id, content, random) {
            Ok(sealed) => Resealed::Again(sealed.payload),
            Err(error) => Resealed::Wait(Reason { code: "encryption".into(), detail: error.to_string() }),
        }
    }
}
