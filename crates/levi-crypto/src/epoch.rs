//! Epochs: the numbered secrets that a change of the device list replaces.

use std::fmt;
use std::num::NonZeroU32;

use crate::key::stored_key;

/// The number of an epoch: 1, 2, ... A removal of a device begins the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(NonZeroU32);

impl Epoch {
    /// The first epoch of every list.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The epoch `number`, or `None` for 0, which is no epoch.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, at least 1.
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// The epoch after this one, or `None` after number 2^32 - 1.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.0)
    }
}

stored_key! {
    /// The secret `E_e` of one epoch, 32 random bytes.
    ///
    /// Known to the devices that were members in that epoch or joined later, and to the recovery
    /// key. Mixed into the keys of messages ([`message_v2`](crate::message_v2)).
    EpochSecret
}
