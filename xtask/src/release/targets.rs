use std::path::Path;
use std::process::Command;

use super::{no_arguments, skipped};
use crate::failure::Failure;
use crate::metadata::{cargo, root, stdout_of};
use crate::programs::succeed;

const TARGETS: &[&str] =
    &["x86_64-pc-windows-msvc", "x86_64-pc-windows-gnu", "aarch64-apple-darwin", "x86_64-apple-darwin"];

/// What a daemon and its user build. The tools beside it are for Unix.
const PACKAGES: &[&str] = &["levi", "levi-cli"];

/// `cargo xtask targets`: `cargo check` for other systems. SQLite and ring also need a C compiler
/// for the target.
pub(crate) fn targets(args: &[String]) -> Result<(), Failure> {
    no_arguments("targets", args)?;
    for target in TARGETS {
        if !has_standard_library(target)? {
            let how = format!("its standard library is not installed: `rustup target add {target}`");
            skipped(&format!("target {target}"), &how);
            continue;
        }
        let mut check = Command::new(cargo());
        check.args(["check", "--quiet", "--locked", "--all-features", "--target", target]);
        for package in PACKAGES {
            check.args(["--package", package]);
        }
        succeed(&format!("cargo check for {target}"), check.current_dir(root()))?;
        println!("targets: {PACKAGES:?} compile for {target}");
    }
    Ok(())
}

fn has_standard_library(target: &str) -> Result<bool, Failure> {
    let folder = stdout_of("rustc", &["--print", "target-libdir", "--target", target])?;
    Ok(Path::new(String::from_utf8_lossy(&folder).trim()).is_dir())
}
