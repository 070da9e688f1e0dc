use std::process::Command;

use super::{no_arguments, skipped};
use crate::failure::Failure;
use crate::metadata::{cargo, members, root, stdout_of};
use crate::programs::{is_there, succeed};

/// The command's library exists for its binary and promises no API.
const WITHOUT_API: &str = "levi-cli";

/// `cargo xtask publish-check`: everything that `cargo publish` does before it compiles and
/// uploads.
pub(crate) fn publish_check(args: &[String]) -> Result<(), Failure> {
    no_arguments("publish-check", args)?;
    let mut publish = Command::new(cargo());
    publish.args(["publish", "--workspace", "--dry-run", "--no-verify", "--allow-dirty", "--quiet"]);
    // Its own folder, because cargo holds the lock of the other one while `xtask` may be built
    // there.
    publish.args(["--target-dir", "target/publish"]);
    succeed("cargo publish --dry-run", publish.current_dir(root()))?;
    println!("publish-check: every published package can be packaged");
    Ok(())
}

/// `cargo xtask semver [REV]`: the public API beside that of `REV`, or of the last tag.
pub(crate) fn semver(args: &[String]) -> Result<(), Failure> {
    let baseline = match args {
        [] => last_tag(),
        [revision] => Some(revision.clone()),
        _ => {
            return Err(Failure::Usage(
                "`semver` takes one revision, or nothing for the last tag".to_owned(),
            ));
        }
    };
    let Some(baseline) = baseline else {
        skipped("semver", "there is no tag to compare with; name a revision: `cargo xtask semver REV`");
        return Ok(());
    };
    if !is_there(&cargo(), &["semver-checks", "--version"]) {
        skipped(
            "semver",
            "cargo-semver-checks is not installed: `cargo install --locked cargo-semver-checks`",
        );
        return Ok(());
    }
    let mut check = Command::new(cargo());
    check.args(["semver-checks", "--baseline-rev", &baseline]);
    for member in members()?.iter().filter(|member| member.is_published() && member.name != WITHOUT_API) {
        check.args(["--package", &member.name]);
    }
    succeed("cargo semver-checks", check.current_dir(root()))
}

fn last_tag() -> Option<String> {
    let tag = stdout_of("git", &["describe", "--tags", "--abbrev=0"]).ok()?;
    Some(String::from_utf8_lossy(&tag).trim().to_owned())
}
