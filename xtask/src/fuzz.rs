//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`.
//!
//! What a target checks is an ordinary function of `levi-fuzz`, and its tests replay the kept
//! corpus without any fuzzer.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::metadata::{cargo, root};
use crate::programs::{is_there, succeed};

const DEFAULT_SECONDS: &str = "60";

/// Installed into the target folder if this machine has none.
const CARGO_FUZZ: &str = "0.13.2";

/// Runs the targets that `args` name, or all.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if args == ["--check"] {
        return check();
    }
    let options = Options::parse(args)?;
    let known = targets(&root().join("fuzz/fuzz_targets"))?;
    if let Some(unknown) = options.targets.iter().find(|target| !known.contains(target)) {
        let known = known.join(", ");
        return Err(Failure::Usage(format!("there is no target `{unknown}`; there are {known}")));
    }
    let path = path_with_cargo_fuzz()?;
    take_lock_file()?;
    for target in if options.targets.is_empty() { &known } else { &options.targets } {
        println!("\n=== {target}: {} s", options.seconds);
        fuzz(target, &options.seconds, &path)?;
    }
    Ok(())
}

/// Checks the programs without libFuzzer, beside what other checks have compiled.
fn check() -> Result<(), Failure> {
    take_lock_file()?;
    let mut clippy = Command::new(cargo());
    clippy.args(["clippy", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"]);
    clippy.arg("--no-default-features");
    succeed("the fuzz targets", clippy.args(["--", "-D", "warnings"]).current_dir(root()))
}

/// The programs use the dependencies of the workspace in the same versions; cargo adds libFuzzer's.
fn take_lock_file() -> Result<(), Failure> {
    let (from, to) = (root().join("Cargo.lock"), root().join("fuzz/Cargo.lock"));
    fs::copy(&from, &to).map(drop).map_err(Failure::io(to.display().to_string()))
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    seconds: String,
    targets: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self { seconds: DEFAULT_SECONDS.to_owned(), targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--seconds" => {
                    let seconds = args.next().filter(|text| text.parse::<u32>().is_ok_and(|n| n > 0));
                    let seconds = seconds.ok_or_else(|| {
                        Failure::Usage("--seconds takes a whole number of seconds, at least 1".to_owned())
                    })?;
                    options.seconds.clone_from(seconds);
                }
                option if option.starts_with('-') => {
                    return Err(Failure::Usage(format!(
                        "`fuzz` does not know `{option}`; it takes names of targets, --seconds N, or --check alone"
                    )));
                }
                _ => options.targets.push(arg.clone()),
            }
        }
        Ok(options)
    }
}

/// The names of the targets: one file each.
fn targets(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::io(folder.display().to_string()))? {
        let path = entry.map_err(Failure::io(folder.display().to_string()))?.path();
        if let (Some(name), Some("rs")) = (path.file_stem(), path.extension().and_then(|e| e.to_str())) {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

/// What `PATH` must be for cargo to find `cargo fuzz`, which is installed where it is missing.
fn path_with_cargo_fuzz() -> Result<OsString, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if is_there(&cargo(), &["fuzz", "--version"]) {
        return Ok(path);
    }
    let tools = root().join("target/tools");
    let bin = tools.join("bin");
    if !bin.join("cargo-fuzz").exists() {
        println!("cargo-fuzz is not installed; building version {CARGO_FUZZ} into {}", tools.display());
        let mut install = Command::new(cargo());
        install.args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]);
        succeed("cargo install cargo-fuzz", install.arg(&tools))?;
    }
    let folders: Vec<PathBuf> = std::iter::once(bin).chain(std::env::split_paths(&path)).collect();
    std::env::join_paths(folders)
        .map_err(|error| Failure::Tool { what: "PATH".to_owned(), detail: error.to_string() })
}

/// Inputs that reach new code are kept below `target`, so that the kept corpus stays small.
fn fuzz(target: &str, seconds: &str, path: &OsString) -> Result<(), Failure> {
    let found = root().join("target/fuzz/corpus").join(target);
    let kept = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&found).map_err(Failure::io(found.display().to_string()))?;
    let mut fuzz = Command::new(cargo());
    fuzz.args(["fuzz", "run", "--sanitizer", "none", "--target-dir", "target/fuzz", target])
        .args([&found, &kept])
        .args(["--", &format!("-max_total_time={seconds}"), "-print_final_stats=1"])
        .env("PATH", path)
        // libFuzzer's instrumentation consists of unstable compiler flags.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(root());
    succeed(&format!("the fuzz target {target}"), &mut fuzz)
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(args: &[&str]) -> Option<Options> {
        Options::parse(&args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>()).ok()
    }

    #[test]
    fn seconds_and_names_are_read_in_any_order() {
        let options = parse(&["rows", "--seconds", "5", "classify"]).unwrap();
        assert_eq!(options.seconds, "5");
        assert_eq!(options.targets, ["rows", "classify"]);
        assert_eq!(parse(&[]).unwrap().targets, [""; 0]);
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for bad in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["--check", "rows"]] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
