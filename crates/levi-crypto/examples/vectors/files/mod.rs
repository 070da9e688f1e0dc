//! The content of the vector files.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;

pub(crate) mod at_rest;
pub(crate) mod device_key;
pub(crate) mod envelope;
pub(crate) mod message;
pub(crate) mod session_secret;

#[path = "../writer.rs"]
pub(crate) mod writer;

pub(crate) use writer::{Made, base64, flipped};

use writer::text;

/// Every file's name and text.
pub(crate) fn all() -> Made<Vec<(&'static str, String)>> {
    Ok(vec![
        ("message.json", text("levi/message/v1", message::cases()?)?),
        ("session-secret.json", text("levi/session-secret/v1", session_secret::cases()?)?),
        ("device-key.json", text("levi/device-key/v1", device_key::cases()?)?),
        ("envelope.json", text("levi/envelope/v1", envelope::cases()?)?),
        ("at-rest.json", text("levi/at-rest/v1", at_rest::cases()?)?),
    ])
}

/// One generator for each file, so that a new case in one file does not change the others.
fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}
