//! What all generators of test vectors have in common. `levi-devices` includes this file, too.
#![allow(dead_code, reason = "the tests include this file without writing")]

use std::error::Error;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

pub(crate) type Made<T> = Result<T, Box<dyn Error>>;

/// One file: the format's version label, then its cases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VectorFile<Case> {
    pub(crate) format: String,
    pub(crate) vectors: Vec<Case>,
}

/// Writes the files into `docs/vectors`, or into the folder given as argument.
pub(crate) fn write(files: Vec<(&'static str, String)>) -> Made<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors");
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| default.into()));
    std::fs::create_dir_all(&folder)?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text)?;
        println!("{name}");
    }
    Ok(())
}

/// A file's text.
pub(crate) fn text<Case: Serialize>(format: &str, vectors: Vec<Case>) -> Made<String> {
    let file = VectorFile { format: format.to_owned(), vectors };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// `bytes` with the lowest bit of byte `at` flipped.
pub(crate) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
