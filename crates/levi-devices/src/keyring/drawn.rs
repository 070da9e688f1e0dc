//! The random bytes with which X-Wing seals a keyring, derived from the keyring.
//!
//! ```text
//! block i  HKDF-SHA256(salt = the recipient's X-Wing public key, ikm = keyring,
//!                      info = "levi/keyring-seed/v1" || the info that the keyring is sealed with || u32be(i)), 32 bytes
//! eseed    block 0 || block 1, as `EncapsulateDerand` of X-Wing's draft takes it
//! ```
//!
//! To anybody without the keyring these are random bytes, because the keyring ends with the secret
//! of the current epoch, which is 32 random bytes. Anybody who has the keyring learns nothing from
//! them.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::bytes::Writer;
use crate::hkdf::derive;

const LABEL: &str = "levi/keyring-seed/v1";
const BLOCK_BYTES: usize = 32;

/// The bytes for one sealing.
pub(super) struct Drawn<'a> {
    pub(super) keyring: Zeroizing<Vec<u8>>,
    pub(super) recipient: &'a [u8],
    pub(super) info: &'a [u8],
    /// Blocks that were drawn.
    pub(super) blocks: u32,
}

impl Drawn<'_> {
    fn block(&mut self) -> Zeroizing<[u8; BLOCK_BYTES]> {
        let info = Writer::new(LABEL).bytes(self.info).u32(self.blocks).finish();
        self.blocks = self.blocks.wrapping_add(1);
        derive(self.recipient, &self.keyring, &info)
    }
}

impl TryRng for Drawn<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for part in target.chunks_mut(BLOCK_BYTES) {
            let block = self.block();
            part.iter_mut().zip(block.iter()).for_each(|(byte, drawn)| *byte = *drawn);
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}
