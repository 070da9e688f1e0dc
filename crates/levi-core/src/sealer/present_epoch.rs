//! Rows that were sealed in an epoch that is over when they are sent.

use levi_crypto::message::MessagePosition;
use levi_crypto::message_v2::{self, Epoch, EpochMessageKey, WireNonce};
use levi_transport::rows::{MessageRow, nonce_of};
use levi_types::UserId;
use rand_core::CryptoRng;

use super::Sealer;
use crate::device_list::SignedDeviceList;
use crate::sealing_key::SealingKey;

/// Seals what was sealed in an older epoch again, before it is sent: a device that was removed meanwhile knows that epoch.
pub(crate) struct PresentEpoch<'a> {
    sealer: &'a Sealer,
    list: &'a SignedDeviceList,
    user: &'a UserId,
    epoch: Epoch,
}

impl PresentEpoch<'_> {
    pub(crate) const fn number(&self) -> u32 {
        self.epoch.number()
    }

    /// The row in the present epoch, if it is of an older one and this device has the keys.
    pub(crate) fn resealed(
        &self,
        message_id: &str,
        payload: &[u8],
        random: &mut dyn CryptoRng,
    ) -> Option<Vec<u8>> {
        let WireNonce { epoch, .. } = message_v2::nonce_from_wire(nonce_of(payload)?).ok()?;
        if epoch >= self.epoch {
            return None;
        }
        self.resealed_row(message_id, &serde_json::from_slice(payload).ok()?, random)
    }

    /// As [`resealed`](Self::resealed), of a row that was parsed.
    pub(crate) fn resealed_row(
        &self,
        message_id: &str,
        row: &MessageRow,
        random: &mut dyn CryptoRng,
    ) -> Option<Vec<u8>> {
        let WireNonce { epoch, nonce } = message_v2::nonce_from_wire(&row.content_nonce).ok()?;
        if epoch >= self.epoch {
            return None;
        }
        let (session_id, sequence_number) = (row.session_id.as_ref()?, row.sequence_number);
        let sealing = self.sealer.sealing_of_waiting(Some(self.user), session_id).ok()?;
        let SealingKey::Version2 { session, .. } = &sealing.key else { return None };
        let secret = self.list.epoch_secret(self.user, epoch)?;
        let older = EpochMessageKey::of(session, session_id, epoch, &secret).ok()?;
        let position = MessagePosition { session_id, sequence_number };
        let opened = message_v2::open(&older, position, &row.ciphertext().ok()?, &nonce).ok()?;
        let sealed = self.sealer.encode(&sealing, position, message_id, &opened.content, random);
        sealed.ok().map(|sealed| sealed.payload)
    }
}

impl Sealer {
    /// The epoch in which messages of `user` are sent now, if there is a list. Another process on the same store may have
    /// begun it.
    pub(crate) fn present_epoch<'a>(&'a self, user: Option<&'a UserId>) -> Option<PresentEpoch<'a>> {
        let (list, user) = (self.device_list.as_ref()?, user?);
        list.load(user);
        list.catch_up(user);
        Some(PresentEpoch { sealer: self, list, user, epoch: self.epoch(user)? })
    }
}
