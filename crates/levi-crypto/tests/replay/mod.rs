//! Random bytes that are chosen in advance.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};

/// Returns the given bytes, once.
pub(crate) struct Replay(pub(crate) Vec<u8>);

impl TryRng for Replay {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("the bytes are asked for in one piece")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("the bytes are asked for in one piece")
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        target.copy_from_slice(&std::mem::take(&mut self.0));
        Ok(())
    }
}

impl TryCryptoRng for Replay {}
