use getrandom::SysRng;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::{OpenError, SealError};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

/// Encrypts values under the database key, with nonces from the operating system.
pub(super) struct Cipher {
    key: DatabaseKey,
}

impl Cipher {
    pub(super) fn new(key: DatabaseKey) -> Self {
        Self { key }
    }

    /// Panics if the operating system has no randomness: nothing can be sealed without it.
    pub(super) fn seal(&self, slot: Slot<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        at_rest::seal(&self.key, slot, plain, &mut UnwrapErr(SysRng))
    }

    pub(super) fn open(&self, slot: Slot<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        at_rest::open(&self.key, slot, sealed)
    }
}
