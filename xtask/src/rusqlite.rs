//! `cargo xtask rusqlite`: the crates that use SQLite, tested with the oldest and the newest
//! `rusqlite` that they accept.
//!
//! A daemon may have a `rusqlite` of its own, and only one version can be linked into a program. So
//! Levi accepts a range, and its lock file alone would test one version of it.

use std::process::Command;

use crate::failure::Failure;
use crate::metadata::{cargo, root};
use crate::programs;
use crate::source_copy;

/// The oldest in the range of the root `Cargo.toml`.
pub(crate) const OLDEST: &str = "0.32.1";

/// The newest.
const NEWEST: &str = "0.43.0";

/// Tests the versions in `args`, or both ends, each in a copy of the tree with a lock file of its
/// own.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let ends = if args.is_empty() { vec![OLDEST, NEWEST] } else { args.iter().map(String::as_str).collect() };
    let folder = root().join("target/rusqlite/tree");
    for end in ends {
        source_copy::into(&folder)?;
        let mut pin = Command::new(cargo());
        pin.args(["update", "--quiet", "--package", "rusqlite", "--precise", end]);
        programs::succeed("pinning rusqlite", pin.current_dir(&folder))?;
        println!("rusqlite {end}");
        let mut test = Command::new(cargo());
        test.args(["test", "--quiet", "--package", "levi-outbox", "--package", "levi-store"])
            // These tests are short, so compiling SQLite with optimization takes longer than it saves.
            .args(["--config", "profile.dev.package.libsqlite3-sys.opt-level=0"])
            .env("CARGO_TARGET_DIR", root().join("target/rusqlite/build"))
            .current_dir(&folder);
        programs::succeed(&format!("the tests with rusqlite {end}"), &mut test)?;
    }
    Ok(())
}
