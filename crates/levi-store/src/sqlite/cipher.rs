use getrandom::SysRng;
use levi_crypto::OpenError;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use rand_core::{TryRng as _, UnwrapErr};
use zeroize::Zeroizing;

use super::failure::Failure;

/// Encrypts values under the database key, with nonces from the operating system.
pub(super) struct Cipher {
    key: DatabaseKey,
}

impl Cipher {
    pub(super) fn new(key: DatabaseKey) -> Self {
        Self { key }
    }

    pub(super) fn seal(&self, slot: Slot<'_>, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        // The system has random numbers from some moment on, or never.
        SysRng.try_next_u32().map_err(|_| Failure::NoRandomness)?;
        Ok(at_rest::seal(&self.key, slot, plain, &mut UnwrapErr(SysRng))?)
    }

    pub(super) fn open(&self, slot: Slot<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        at_rest::open(&self.key, slot, sealed)
    }
}
