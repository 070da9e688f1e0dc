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

use levi_crypto::DerivedRng;
use rand_core::CryptoRng;

use crate::bytes::Writer;
use crate::hkdf::derive;

const LABEL: &str = "levi/keyring-seed/v1";

/// The random bytes of one sealing.
pub(super) fn drawn(keyring: &[u8], recipient: &[u8], info: &[u8]) -> impl CryptoRng {
    DerivedRng::new(move |number| {
        derive(recipient, keyring, &Writer::new(LABEL).bytes(info).u32(number).finish())
    })
}
