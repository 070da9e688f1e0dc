//! Random bytes that are derived, for an algorithm that draws them. Who knows what they are derived
//! from makes the same output again, and can tell later whether something is that output.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

const BLOCK_BYTES: usize = 32;

/// Gives the blocks of a derivation one after another, from number 0 on. Each draw begins a new
/// block.
pub struct DerivedRng<F> {
    block: F,
    drawn: u32,
}

impl<F: Fn(u32) -> Zeroizing<[u8; BLOCK_BYTES]>> DerivedRng<F> {
    /// `block` derives the block with a number. Its input must be secret to everybody to whom the
    /// bytes must look random.
    pub const fn new(block: F) -> Self {
        Self { block, drawn: 0 }
    }
}

impl<F: Fn(u32) -> Zeroizing<[u8; BLOCK_BYTES]>> TryRng for DerivedRng<F> {
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
            let block = (self.block)(self.drawn);
            self.drawn = self.drawn.wrapping_add(1);
            part.copy_from_slice(&block[..part.len()]);
        }
        Ok(())
    }
}

impl<F: Fn(u32) -> Zeroizing<[u8; BLOCK_BYTES]>> TryCryptoRng for DerivedRng<F> {}
