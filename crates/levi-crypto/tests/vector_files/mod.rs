//! Reads `docs/vectors`, and compares the files with what their generator makes. `levi-devices`
//! includes this file, too.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use crate::files::writer::VectorFile;

pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors")).join(name)
}

pub(crate) fn read<Case: DeserializeOwned>(name: &str, at_least: usize) -> Vec<Case> {
    let file: VectorFile<Case> = serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap();
    // An empty file would pass every loop.
    assert!(file.vectors.len() >= at_least, "{name} holds {} cases", file.vectors.len());
    file.vectors
}

pub(crate) fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// `generator`: the command that writes the files.
pub(crate) fn assert_checked_in(files: Vec<(&'static str, String)>, generator: &str) {
    for (name, made) in files {
        let found = fs::read_to_string(path(name)).unwrap();
        assert!(found == made, "{name} differs; if the change is meant: {generator}");

        let file: VectorFile<serde_json::Value> = serde_json::from_str(&found).unwrap();
        let mut names: Vec<&str> = file.vectors.iter().filter_map(|case| case["name"].as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), file.vectors.len(), "{name}: a name is what a failing case is found by");
    }
}
