//! The inputs that are kept in `fuzz/corpus`, without any fuzzer.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use levi_fuzz::{TARGETS, check};

/// Cuts of one input: some targets open a database for each.
const MAX_CUTS: usize = 20;

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(folder);
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn names(folder: &str) -> BTreeSet<String> {
    entries(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
}

#[test]
fn no_kept_input_breaks_a_promise() {
    for (name, _) in TARGETS {
        let inputs = entries(&format!("corpus/{name}"));
        assert!(!inputs.is_empty(), "nothing is kept for {name}");
        for input in inputs {
            println!("{}", input.display());
            check(name, &fs::read(&input).unwrap());
        }
    }
}

#[test]
fn no_cut_of_a_kept_input_breaks_a_promise() {
    for (name, _) in TARGETS {
        for path in entries(&format!("corpus/{name}")) {
            let input = fs::read(&path).unwrap();
            let step = (input.len() / MAX_CUTS).max(1);
            for end in (0..input.len()).step_by(step) {
                check(name, &input[..end]);
            }
        }
    }
}
