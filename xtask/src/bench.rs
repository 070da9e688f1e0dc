//! `cargo xtask bench`: measures Levi against limits and baselines, or counts instructions.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::metadata::root;
use crate::programs::{self, is_there};

/// The instruction counts that CI compares with.
const EXPECTED: &str = "crates/levi-bench/instructions.json";

/// Where the last full run is published.
const PUBLISHED: &str = "docs/performance";

const OPTIONS: [&str; 4] = ["--quick", "--write", "--instructions", "--where-possible"];

/// Builds `levi-bench` and runs it.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let has = |option: &str| args.iter().any(|arg| arg == option);
    if let Some(unknown) = args.iter().find(|arg| arg.starts_with("--") && !OPTIONS.contains(&arg.as_str())) {
        return Err(Failure::Usage(format!(
            "`bench` does not know `{unknown}`; it takes {} and names of groups",
            OPTIONS.join(", ")
        )));
    }
    if has("--instructions") && has("--where-possible") && !is_there("valgrind", &["--version"]) {
        println!(
            "NOT COUNTED: there is no valgrind here. Install it, or leave this to a machine that has it."
        );
        return Ok(());
    }
    let mut bench = Command::new(programs::bench()?);
    bench.current_dir(root());
    if has("--instructions") {
        bench.args(["instructions", EXPECTED]);
        bench.args(args.iter().filter(|arg| *arg != "--instructions"));
        return programs::succeed("levi-bench", &mut bench);
    }
    // The group `command` runs it from the same folder.
    programs::levi()?;
    if has("--write") && args.iter().any(|arg| !arg.starts_with("--")) {
        begin_with_published()?;
    }
    bench.args(["run", "target/bench"]);
    bench.args(args.iter().filter(|arg| *arg != "--write"));
    programs::succeed("levi-bench", &mut bench)?;
    if has("--write") { publish() } else { Ok(()) }
}

/// The groups that are not measured keep their published figures.
fn begin_with_published() -> Result<(), Failure> {
    let (from, to) = (root().join(PUBLISHED).join("figures.json"), root().join("target/bench"));
    let io = |path: &Path| Failure::io(path.display().to_string());
    fs::create_dir_all(&to).map_err(io(&to))?;
    fs::copy(&from, to.join("figures.json")).map_err(io(&from)).map(drop)
}

/// Copies tables, figures and plots into `docs/performance`.
fn publish() -> Result<(), Failure> {
    let (from, to) = (root().join("target/bench"), root().join(PUBLISHED));
    let io = |path: &Path| Failure::io(path.display().to_string());
    fs::create_dir_all(&to).map_err(io(&to))?;
    for entry in fs::read_dir(&from).map_err(io(&from))? {
        let path = entry.map_err(io(&from))?.path();
        if let (true, Some(name)) = (is_published(&path), path.file_name()) {
            fs::copy(&path, to.join(name)).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// An older run may have left other files.
fn is_published(path: &Path) -> bool {
    path.ends_with("tables.md") || path.ends_with("figures.json") || path.extension() == Some("svg".as_ref())
}
