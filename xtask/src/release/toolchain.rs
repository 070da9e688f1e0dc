use std::process::Command;

use super::{no_arguments, skipped};
use crate::failure::Failure;
use crate::metadata::{members, root};
use crate::programs::{is_there, succeed};

/// `cargo xtask msrv`: all packages with the Rust that `rust-version` promises.
pub(crate) fn msrv(args: &[String]) -> Result<(), Failure> {
    no_arguments("msrv", args)?;
    let members = members()?;
    let version = members.iter().find_map(|member| member.rust_version.as_deref());
    let version = version.ok_or_else(|| Failure::Tool {
        what: "Cargo.toml".to_owned(),
        detail: "names no rust-version".to_owned(),
    })?;
    if !is_there("rustup", &["run", version, "cargo", "--version"]) {
        let how = format!("Rust {version} is not installed: `rustup toolchain install {version}`");
        skipped("msrv", &how);
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check.args(["run", version, "cargo", "check", "--workspace", "--all-features", "--locked"]);
    check.args(["--target-dir", "target/msrv"]).env_remove("CARGO").env_remove("RUSTC");
    succeed("cargo check with the oldest Rust", check.current_dir(root()))?;
    println!("msrv: all packages compile with Rust {version}");
    Ok(())
}
