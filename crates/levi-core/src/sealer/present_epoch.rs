//! Rows that were sealed in an epoch that is over when they are sent.

use levi_crypto::message::MessagePosition;
use levi_crypto::message_v2::{self, Epoch, EpochMessageKey, WireNonce};
use levi_transport::rows::{MessageRow, nonce_of};
use levi_types::UserId;
use rand_core::CryptoRng;

use super::{Resealed, Sealer};
use crate::device_list::SignedDeviceList;

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
    pub(crate) fn resealed(&self, message_id: &str, payload: &[u8], random: &mut dyn CryptoRng) -> Resealed {
        let is_older = || {
            let WireNonce { epoch, .. } = message_v2::nonce_from_wire(nonce_of(payload)?).ok()?;
            (epoch < self.epoch).then_some(())
        };
        let row = is_older().and_then(|()| serde_json::from_slice::<MessageRow>(payload).ok());
        row.map_or(Resealed::AsStored, |row| self.resealed_row(message_id, &row, random))
    }

    /// As [`resealed`](Self::resealed), of a row that was parsed.
    pub(crate) fn resealed_row(
        &self,
        message_id: &str,
        row: &MessageRow,
        random: &mut dyn CryptoRng,
    ) -> Resealed {
        let Some(session_id) = row.session_id.as_ref() else { return Resealed::AsStored };
        let position = MessagePosition { session_id, sequence_number: row.sequence_number };
        let WireNonce { epoch, nonce } = match message_v2::nonce_from_wire(&row.content_nonce) {
            Ok(nonce) if nonce.epoch < self.epoch => nonce,
            _ => return Resealed::AsStored,
        };
        let sealing = match self.sealer.sealing_of_waiting(Some(self.user), session_id) {
            Ok(sealing) => sealing,
            Err(no_key) => return Resealed::Wait(no_key.into_reason()),
        };
        let opened = || {
            let secret = self.list.epoch_secret(self.user, epoch)?;
            let older = EpochMessageKey::of(sealing.key.session(), session_id, epoch, &secret).ok()?;
            message_v2::open(&older, position, &row.ciphertext().ok()?, &nonce).ok()
        };
        match opened() {
            Some(opened) => {
                self.sealer.sealed_again(self.user, position, message_id, &opened.content, random)
            }
            None => Resealed::AsStored,
        }
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
