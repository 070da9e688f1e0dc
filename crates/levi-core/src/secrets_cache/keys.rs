use levi_crypto::MessageKey;
use levi_crypto::envelope::DevicePublicKey;
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
    /// The highest sequence number that was sealed here or is known to have been sealed before; `None` while that is not
    /// known.
    pub(super) highest: Option<i64>,
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

impl Keys {
    pub(super) fn read_with(&mut self, key: ReadingKey) {
        self.reading.retain(|known| *known != key);
        self.reading.insert(0, key);
        self.reading.truncate(MOST_KEYS);
    }
}
