//! The content of the vector files.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

pub(crate) mod at_rest;
pub(crate) mod device_key;
pub(crate) mod envelope;
pub(crate) mod message;
pub(crate) mod session_secret;

pub(crate) type Made<T> = Result<T, Box<dyn Error>>;

/// One file: the format's version label, then its cases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VectorFile<Case> {
    pub(crate) format: String,
    pub(crate) vectors: Vec<Case>,
}

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

fn text<Case: Serialize>(format: &str, vectors: Vec<Case>) -> Made<String> {
    let file = VectorFile { format: format.to_owned(), vectors };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// One generator for each file, so that a new case in one file does not change the others.
fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// `bytes` with the lowest bit of byte `at` flipped.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
