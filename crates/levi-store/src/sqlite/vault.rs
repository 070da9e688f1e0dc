use getrandom::SysRng;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_crypto::{OpenError, SealError};
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

/// The database key, and the operating system's random source for nonces.
pub(super) struct Vault {
    key: DatabaseKey,
}

impl Vault {
    pub(super) fn new(key: DatabaseKey) -> Self {
        Self { key }
    }

    /// Panics where the operating system has no randomness to give: nothing may be wrapped then.
    pub(super) fn wrap(&self, slot: Slot<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        at_rest::wrap(&self.key, slot, plain, &mut UnwrapErr(SysRng))
    }

    pub(super) fn unwrap(&self, slot: Slot<'_>, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        at_rest::unwrap(&self.key, slot, wrapped)
    }
}
