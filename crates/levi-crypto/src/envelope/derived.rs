//! An envelope's ephemeral key, derived where the sender makes the same envelope again.
//!
//! ```text
//! block i  HMAC-SHA256(the sender's private key, "levi/envelope-seed/v1" || u32be(i) || the recipient's public key
//!                      || the session secret's 32 bytes || info)
//! ```
//!
//! To everybody else these are random bytes. Who has the sender's private key needs the session
//! secret as well, which is all that the envelope holds.

use rand_core::CryptoRng;
use ring::hmac::{Context, HMAC_SHA256, Key};
use zeroize::Zeroizing;

use crate::device_key::{DevicePrivateKey, DevicePublicKey};
use crate::{DerivedRng, SessionSecret};

const LABEL: &[u8] = b"levi/envelope-seed/v1";

/// The random bytes of one envelope.
pub(super) fn drawn(
    secret: &SessionSecret,
    sender: &DevicePrivateKey,
    recipient: &DevicePublicKey,
    info: &[u8],
) -> impl CryptoRng {
    // Exposed to be derived from.
    let (key, secret) = (Key::new(HMAC_SHA256, sender.expose_bytes()), secret.message_key());
    DerivedRng::new(move |number: u32| {
        let mut context = Context::with_key(&key);
        context.update(LABEL);
        context.update(&number.to_be_bytes());
        context.update(recipient.as_bytes());
        context.update(secret.expose());
        context.update(info);
        let mut block = Zeroizing::new([0; 32]);
        block.copy_from_slice(context.sign().as_ref());
        block
    })
}
