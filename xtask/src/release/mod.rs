//! What a release needs to know and a change does not: packages, the oldest Rust, the public API,
//! other systems.
//!
//! A check that needs a toolchain, target or tool that this machine does not have is skipped, and
//! its line says so.

mod packages;
mod targets;
mod toolchain;

pub(crate) use packages::{publish_check, semver};
pub(crate) use targets::targets;
pub(crate) use toolchain::msrv;

use crate::failure::Failure;

/// Says that a check did not run, and how it would.
fn skipped(check: &str, why: &str) {
    println!("SKIPPED {check}: {why}");
}

fn no_arguments(command: &str, args: &[String]) -> Result<(), Failure> {
    match args.first() {
        None => Ok(()),
        Some(arg) => Err(Failure::Usage(format!("`{command}` takes no arguments, but there is `{arg}`"))),
    }
}
