//! An envelope's ephemeral key, derived where the sender makes the same envelope again.
//!
//! ```text
//! block i  HMAC-SHA256(the sender's private key, "levi/envelope-seed/v1" || u32be(i) || the recipient's public key
//!                      || the session secret's 32 bytes || info)
//! ```
//!
//! To everybody else these are random bytes. Who has the sender's private key needs the session
//! secret as well, which is all that the envelope holds.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use ring::hmac::{Context, HMAC_SHA256, Key};

use crate::device_key::{DevicePrivateKey, DevicePublicKey};
use crate::{MessageKey, SessionSecret};

const LABEL: &[u8] = b"levi/envelope-seed/v1";
const BLOCK_BYTES: usize = 32;

/// The random bytes of one envelope.
pub(super) struct Derived<'a> {
    key: Key,
    recipient: &'a DevicePublicKey,
    secret: MessageKey,
    info: &'a [u8],
    /// Blocks that were drawn.
    blocks: u32,
}

impl<'a> Derived<'a> {
    pub(super) fn new(
        secret: &SessionSecret,
        sender: &DevicePrivateKey,
        recipient: &'a DevicePublicKey,
        info: &'a [u8],
    ) -> Self {
        // Exposed to be derived from.
        let key = Key::new(HMAC_SHA256, sender.expose_bytes());
        Self { key, recipient, secret: secret.message_key(), info, blocks: 0 }
    }
}

impl TryRng for Derived<'_> {
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
            let mut context = Context::with_key(&self.key);
            context.update(LABEL);
            context.update(&self.blocks.to_be_bytes());
            context.update(self.recipient.as_bytes());
            context.update(self.secret.expose());
            context.update(self.info);
            self.blocks = self.blocks.wrapping_add(1);
            part.copy_from_slice(&context.sign().as_ref()[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Derived<'_> {}
