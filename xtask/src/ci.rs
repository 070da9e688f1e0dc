//! `cargo xtask ci`: a table of steps.
//!
//! What is compiled is shared wherever the result is the same: `interop` and `crash` run programs
//! that the tests have built already, the command `levi` is that of the demo, and the planted bugs
//! are built beside it with its dependencies. Warnings are denied through clippy's own arguments
//! and not through `RUSTFLAGS`, which would compile every dependency a second time.

use crate::failure::Failure;
use crate::faults::SAMPLE;
use crate::metadata::{self, Package};
use crate::rusqlite::OLDEST;
use crate::step::{self, Step};

/// Runs every step; stops at the first that fails.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::Usage(format!("`ci` takes no arguments, but there is `{arg}`")));
    }
    step::run_all(&steps(&metadata::members()?))
}

fn steps(members: &[Package]) -> Vec<Step> {
    let mut steps = vec![
        // First, so that a later step does not rewrite a lock file that was forgotten.
        Step::new("lock file", &["fetch", "--locked"]),
        Step::new("format", &["fmt", "--all", "--check"]),
        Step::new("tidy", &["xtask", "tidy"]),
        Step::new("test", &["xtask", "test"]),
        clippy("clippy", &["--workspace", "--all-targets", "--all-features"]),
    ];
    steps.extend(members.iter().filter(|member| member.is_published()).flat_map(alone));
    // The lock file has a recent version; the newest one is tested at night.
    steps.push(Step::new("oldest rusqlite", &["xtask", "rusqlite", OLDEST]));
    steps.push(docs(members));
    steps.push(Step::new("fuzz targets compile", &["xtask", "fuzz", "--check"]));
    steps.push(Step::new("packages", &["xtask", "publish-check"]));
    steps.push(Step::new("demo", &["run", "--release", "--", "demo", "--messages", "300"]));
    steps.push(Step::new("interop", &["xtask", "interop"]));
    // Simulates 60,000 seeds without a planted bug before it plants the first.
    steps.push(Step::new("simulation and planted bugs", &["xtask", "faults", SAMPLE]));
    steps.push(Step::new("kills", &["xtask", "crash", "--kills", "300"]));
    // Without valgrind it prints that it counts nothing. Valgrind comes from no package registry
    // that this repository uses.
    steps.push(Step::new("instructions", &["xtask", "bench", "--instructions", "--where-possible"]));
    steps
}

/// A package by itself, as a daemon compiles it: no other package of the workspace, and none that
/// only its tests need, enables a feature that it forgot to ask for.
///
/// One command for each, because cargo unites the features of all packages that one command
/// selects.
fn alone(member: &Package) -> Vec<Step> {
    let name = &member.name;
    let mut steps = vec![clippy(format!("{name} alone"), &["--package", name])];
    if member.named_features().next().is_some() {
        steps.push(clippy(
            format!("{name} alone, no features"),
            &["--package", name, "--no-default-features"],
        ));
        steps.push(clippy(format!("{name} alone, all features"), &["--package", name, "--all-features"]));
    }
    steps
}

/// The pages that `cargo doc` makes by itself: of every library, and of programs without one.
///
/// Named, together with an example, because an example makes cargo take the features of the
/// dev-dependencies: then the dependencies are those that clippy has checked.
fn docs(members: &[Package]) -> Step {
    let mut args = vec!["doc", "--workspace", "--no-deps", "--all-features", "--lib"];
    for member in members.iter().filter(|member| !member.targets.iter().any(|target| target.is("lib"))) {
        for program in member.targets.iter().filter(|target| target.is("bin")) {
            args.extend(["--bin", &program.name]);
        }
    }
    args.extend(["--example", "daemon"]);
    Step::new("docs", &args).with_env("RUSTDOCFLAGS", "-D warnings")
}

fn clippy(name: impl Into<String>, args: &[&str]) -> Step {
    let mut all = vec!["clippy", "--quiet"];
    all.extend(args);
    all.extend(["--", "-D", "warnings"]);
    Step::new(name, &all)
}

#[cfg(test)]
mod tests_of_the_table {
    use super::{Package, alone, steps};

    fn package(features: &[(&str, &[&str])]) -> Package {
        let features = features
            .iter()
            .map(|(name, enables)| ((*name).to_owned(), enables.iter().map(|&e| e.to_owned()).collect()))
            .collect();
        Package { name: "levi-x".to_owned(), features, ..Package::default() }
    }

    #[test]
    fn a_crate_with_features_is_checked_with_and_without_them() {
        let lines: Vec<String> = alone(&package(&[("default", &["sqlite"]), ("sqlite", &[])]))
            .iter()
            .map(|s| s.command_line())
            .collect();
        assert!(lines[1].contains("--no-default-features"), "{lines:?}");
        assert!(lines[2].contains("--all-features"), "{lines:?}");
        assert_eq!(alone(&package(&[])).len(), 1);
    }

    #[test]
    fn what_is_not_published_is_not_checked_alone() {
        let alone = |publish| {
            let package = Package { publish, ..package(&[]) };
            steps(&[package]).iter().any(|step| step.name == "levi-x alone")
        };
        assert!(alone(None));
        assert!(!alone(Some(Vec::new())));
    }
}
