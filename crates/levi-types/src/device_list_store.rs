use crate::{SessionId, StoreError, UserId};

/// Stores what a device must remember, so that a server can show it neither another device list
/// than the one it has seen nor rows of an epoch that is over.
///
/// The content is not secret, but anyone who can change it or roll it back can undo what the list
/// protects. Blocking, like the other ports.
pub trait DeviceListStore: Send + Sync {
    /// The device list of `user` as it was stored last; `None` if there is none. The bytes are
    /// Levi's.
    ///
    /// # Errors
    /// [`StoreError`]. Levi then seals nothing for this user. Never return `None` instead: it means
    /// that the user has no list.
    fn device_list(&self, user: &UserId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Durably replaces the device list `before` of `user`. Returns `false`, and stores nothing, if
    /// the stored list is not `before`, because another process was first.
    ///
    /// # Errors
    /// [`StoreError`]; what was there is still stored.
    fn replace_device_list(
        &self,
        user: &UserId,
        before: Option<&[u8]>,
        list: &[u8],
    ) -> Result<bool, StoreError>;

    /// The first messages of a session's epochs, as far as this device has read them.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn epoch_starts(&self, user: &UserId, session: &SessionId) -> Result<Vec<EpochStart>, StoreError>;

    /// Stores the first message of an epoch. Of two numbers for one epoch, the lower one counts.
    ///
    /// # Errors
    /// [`StoreError`]; Levi logs it, and knows the start until it ends.
    fn keep_epoch_start(
        &self,
        user: &UserId,
        session: &SessionId,
        start: EpochStart,
    ) -> Result<(), StoreError>;
}

/// The first message of an epoch in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch's number, at least 1.
    pub epoch: u32,
    /// The message's sequence number.
    pub sequence_number: i64,
}
