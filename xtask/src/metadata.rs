//! What `cargo metadata` and `cargo tree` know about the workspace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::failure::Failure;

/// One package, of the workspace or from outside.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) rust_version: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) keywords: Vec<String>,
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    /// `[package.metadata]`.
    #[serde(default)]
    pub(crate) metadata: serde_json::Value,
    /// `None` for a package of this workspace.
    pub(crate) source: Option<String>,
    /// The registries it may go to: `None` for any, empty for none.
    pub(crate) publish: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) manifest_path: PathBuf,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// What cargo makes of a package: a library, a program, a test, ...
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Target {
    /// Whether it is a `lib`, `bin`, `test`, ...
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|of_target| of_target == kind)
    }
}

/// One line of a package's dependencies, optional ones included.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `build` or `dev`.
    pub(crate) kind: Option<String>,
}

impl Package {
    /// The folder of the package.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new("."))
    }

    /// Whether others can depend on it.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }

    /// Its features without `default`.
    pub(crate) fn named_features(&self) -> impl Iterator<Item = &str> {
        self.features.keys().map(String::as_str).filter(|feature| *feature != "default")
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs us, or the one on the path.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// The packages of this workspace.
pub(crate) fn members() -> Result<Vec<Package>, Failure> {
    packages(&["metadata", "--format-version=1", "--no-deps"])
}

/// Every package in the lock file, for all targets.
pub(crate) fn everything() -> Result<Vec<Package>, Failure> {
    packages(&["metadata", "--format-version=1", "--all-features"])
}

/// Names of all packages compiled for `cargo build -p package` with these flags on this target.
pub(crate) fn tree(package: &str, flags: &[&str]) -> Result<Vec<String>, Failure> {
    let mut args =
        vec!["tree", "--package", package, "--edges=normal,build", "--prefix=none", "--format={p}"];
    args.extend(flags);
    let listing = stdout_of(&cargo(), &args)?;
    let listing = String::from_utf8_lossy(&listing);
    Ok(listing.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Runs a program at the workspace's root and hands back what it printed.
pub(crate) fn stdout_of(program: &str, args: &[&str]) -> Result<Vec<u8>, Failure> {
    let what = format!("{program} {}", args.join(" "));
    let output =
        Command::new(program).args(args).current_dir(root()).output().map_err(Failure::io(what.as_str()))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::Tool { what, detail: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

fn packages(args: &[&str]) -> Result<Vec<Package>, Failure> {
    let json = stdout_of(&cargo(), args)?;
    let metadata: Metadata = serde_json::from_slice(&json)
        .map_err(|error| Failure::Tool { what: "cargo metadata".to_owned(), detail: error.to_string() })?;
    Ok(metadata.packages)
}
