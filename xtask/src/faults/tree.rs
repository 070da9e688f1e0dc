use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patches::Catcher;
use crate::failure::Failure;
use crate::metadata::{cargo, root};
use crate::programs;
use crate::source_copy::{self, stdout};

/// A copy of the tree, to which patches are applied.
///
/// It is built into the target folder of the tree itself. The packages of the copy have paths, and
/// so artifacts, of their own; dependencies from outside are those that other release builds have
/// compiled already.
pub(super) struct Tree {
    folder: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// A copy of the tree as it is now.
    pub(super) fn copy() -> Result<Self, Failure> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let tree = Self { folder: root().join("target/faults/tree"), target };
        source_copy::into(&tree.folder)?;
        Ok(tree)
    }

    /// Applies a patch to the copy.
    pub(super) fn apply(&self, patch: &Path, options: &[&str]) -> Result<(), Failure> {
        let mut apply = Command::new("git");
        // Without this, git finds the repository around the copy and skips every file in it.
        apply.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(&self.folder));
        apply.arg("apply").args(options).arg(patch).current_dir(&self.folder);
        let what = format!("{} no longer applies", patch.display());
        stdout(&what, apply.output().map_err(Failure::io("git apply"))?).map(drop)
    }

    /// Builds what catches a bug and keeps it under `name`, where the next build does not replace
    /// it.
    pub(super) fn build(&self, catcher: &Catcher, name: &str) -> Result<PathBuf, Failure> {
        // Tests have the dev profile. In the tree's own folder, cargo would take their artifacts
        // for those of the tree.
        let target = match catcher {
            Catcher::Test { .. } => self.folder.with_file_name("target"),
            _ => self.target.clone(),
        };
        let mut build = Command::new(cargo());
        build
            .args(match catcher {
                Catcher::Simulation | Catcher::Program { .. } => {
                    vec!["build", "--release", "--locked", "--package", catcher.package()]
                }
                // With the features of `cargo xtask test`.
                Catcher::Test { file, .. } => {
                    vec!["test", "--no-run", "--locked", "--workspace", "--all-features", "--test", file]
                }
            })
            .env("CARGO_TARGET_DIR", target)
            // Only one function changes from build to build. The environment variable takes
            // precedence over profiles, and so also over a machine that switches incremental builds
            // off.
            .env("CARGO_INCREMENTAL", "1")
            .current_dir(&self.folder);
        let program = match catcher {
            Catcher::Test { package, file, .. } => programs::built_in(build, package, file)?,
            _ => programs::built(build, catcher.package())?,
        };
        let kept = self.folder.with_file_name("programs").join(name);
        if let Some(folder) = kept.parent() {
            fs::create_dir_all(folder).map_err(Failure::io(folder.display().to_string()))?;
        }
        // A program that ran before is removed first, because the system may refuse to overwrite
        // it.
        let _ = fs::remove_file(&kept);
        fs::copy(&program, &kept).map_err(Failure::io(kept.display().to_string()))?;
        Ok(kept)
    }
}
