use std::sync::Arc;

use levi_crypto::MessageKey;
use levi_crypto::envelope::DevicePublicKey;
use levi_crypto::message_v2::Order;
use levi_outbox::Overwrite;
use levi_types::DeviceId;

use crate::sealing_key::SealingKey;

/// The greatest number of keys of one session to read with.
const MOST_KEYS: usize = 16;

/// The keys of one session.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) sealing: Option<MessageKey>,
    /// `sealing` in the present mode.
    pub(super) in_mode: Option<SealingKey>,
    /// What the session is not sealed with, because the server has another secret of it.
    pub(super) refused: Option<MessageKey>,
    /// What this device sealed with before; `None`: its store was not asked since `sealing` changed.
    pub(super) earlier: Option<Arc<[MessageKey]>>,
    /// The highest sequence number of the session as this device knows it; `None` while that is not known.
    highest: Option<i64>,
    /// The highest one that was sealed in this process, whether or not others came before it.
    sealed: Option<i64>,
    /// What the server said when it was asked for the highest one.
    heard: Option<i64>,
    /// The latest first.
    pub(super) reading: Vec<ReadingKey>,
}

/// A key to read with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ReadingKey {
    pub(crate) key: MessageKey,
    pub(crate) source: KeySource,
}

/// Where a key comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// This device's own store or daemon.
    ThisDevice,
    /// A device that had this public key.
    Sender(DeviceId, DevicePublicKey),
}

/// What is known of a session's messages before another one is sealed.
#[derive(Clone, Copy, Debug, Default)]
pub struct HighestKnown {
    /// The highest sequence number that the session store has as sent. `None`: it has none, or keeps no such record.
    pub sent: Option<i64>,
    /// The highest one that the outbox has.
    pub stored: Option<i64>,
}

impl Keys {
    /// The order of message `sequence_number`, which is sealed now. `None`: what was sealed before is to be asked for.
    ///
    /// A message that begins an epoch makes older rows behind it stale, for good and for every reader. So one is late
    /// unless it is known to come after all others: where nothing is known, others may have been written, by another
    /// device or before this process. One that may replace any text is late, because that text may be another device's.
    pub(super) fn order(
        &mut self,
        sequence_number: i64,
        overwrite: Overwrite,
        before: Option<HighestKnown>,
    ) -> Option<Order> {
        let known = match before {
            None => Some(self.highest?),
            // What the server said counts only where this device has no record of its own: it could make every message
            // late by naming a high number.
            Some(HighestKnown { sent, stored }) => {
                self.highest.or(sent).or(self.heard).map(|known| known.max(stored.unwrap_or(known)))
            }
        };
        let known = known.map(|known| known.max(self.sealed.unwrap_or(known)));
        let is_last = known.is_some_and(|known| sequence_number > known);
        if is_last || before.is_some_and(|before| before.sent.is_some()) {
            self.highest = known.max(Some(sequence_number));
        }
        self.note(sequence_number);
        Some(if is_last && overwrite != Overwrite::Anything { Order::Rising } else { Order::Late })
    }

    /// Whether nobody else could read what is sent.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some() && (self.sealing.is_none() || self.sealing == self.refused)
    }

    /// This device's store has these keys of its own from before, besides those that are remembered here.
    pub(super) fn sealed_with_before(&mut self, stored: Vec<MessageKey>) -> Arc<[MessageKey]> {
        let remembered = self.reading.iter().filter(|known| known.source == KeySource::ThisDevice);
        let mut earlier = stored;
        earlier.extend(remembered.map(|known| known.key.clone()));
        earlier.retain(|key| self.sealing.as_ref() != Some(key));
        self.earlier.insert(earlier.into()).clone()
    }

    /// A message was sealed.
    pub(super) fn note(&mut self, sequence_number: i64) {
        self.sealed = self.sealed.max(Some(sequence_number));
    }

    /// The server has messages up to this one, or none.
    pub(super) fn heard(&mut self, highest: Option<i64>) {
        self.heard = Some(highest.unwrap_or(i64::MIN));
    }

    pub(super) fn read_with(&mut self, key: ReadingKey) {
        self.reading.retain(|known| *known != key);
        self.reading.insert(0, key);
        self.reading.truncate(MOST_KEYS);
    }
}
