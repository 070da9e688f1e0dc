//! Programs: those of the workspace, built and found, and others that are run.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::Failure;
use crate::metadata::{cargo, root};

/// What `cargo xtask test` has built already.
///
/// All packages with all features, and an example among the targets, because that is what makes
/// cargo take the features of the dev-dependencies as well: only then are these the artifacts of
/// the test run, down to the last dependency. A package selected by itself has other features, and
/// so other dependencies to compile.
const AS_TESTED: &[&str] = &[
    "--workspace",
    "--all-features",
    "--bin",
    "levi-torture",
    "--example",
    "interop",
    "--example",
    "contract",
    "--example",
    "trust_exchange",
    "--example",
    "fake_supabase",
];

/// Makes cargo say where it put the programs.
const MESSAGES: [&str; 2] = ["--quiet", "--message-format=json-render-diagnostics"];

/// A program of the workspace in the dev profile: `levi-torture`, or the example `interop`,
/// `contract`, `trust_exchange` or `fake_supabase`.
pub(crate) fn as_tested(name: &str) -> Result<PathBuf, Failure> {
    let mut build = Command::new(cargo());
    build.arg("build").args(AS_TESTED).current_dir(root());
    built(build, name)
}

/// The command `levi`, built as a user builds it.
pub(crate) fn levi() -> Result<PathBuf, Failure> {
    let mut build = Command::new(cargo());
    build.args(["build", "--release", "--package", "levi-cli"]).current_dir(root());
    built(build, "levi")
}

/// The benchmark as a release build, with the names of functions, because callgrind finds what it
/// counts by them. Only the last link differs, so that it shares its dependencies with the command;
/// a profile of its own would compile each of them once more.
pub(crate) fn bench() -> Result<PathBuf, Failure> {
    let mut build = Command::new(cargo());
    build.args(["rustc", "--release", "--package", "levi-bench", "--bin", "levi-bench"]);
    build.args(MESSAGES).args(["--", "-C", "strip=debuginfo"]).current_dir(root());
    made(build, "", "levi-bench")
}

/// Runs a `cargo build` and returns the path of the program `name` that it made. What the compiler
/// says is shown only where it fails: a planted bug may well leave an unused variable behind.
pub(crate) fn built(build: Command, name: &str) -> Result<PathBuf, Failure> {
    built_in(build, "", name)
}

/// As [`built`], where several packages have a target of that name.
pub(crate) fn built_in(mut build: Command, package: &str, name: &str) -> Result<PathBuf, Failure> {
    build.args(MESSAGES);
    made(build, package, name)
}

fn made(mut build: Command, package: &str, name: &str) -> Result<PathBuf, Failure> {
    let output = build.stdin(Stdio::null()).output().map_err(Failure::io("cargo build"))?;
    let program = if output.status.success() { executable(&output.stdout, package, name) } else { None };
    program.ok_or_else(|| Failure::Tool {
        what: format!("building {name}"),
        detail: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The executable of the target `name` in cargo's messages, which are JSON objects, one a line.
/// `package`: its folder, or nothing if the name is enough.
fn executable(messages: &[u8], package: &str, name: &str) -> Option<PathBuf> {
    let folder = format!("/crates/{package}/");
    let messages = messages.split(|byte| *byte == b'\n');
    let mut messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages.find_map(|message| {
        let executable = message["executable"].as_str()?;
        let here = package.is_empty()
            || message["manifest_path"].as_str().is_some_and(|path| path.contains(&folder));
        (here && message["target"]["name"] == name).then(|| PathBuf::from(executable))
    })
}

/// Whether `program` can be started with `args` and succeeds. Its output is not shown.
pub(crate) fn is_there(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
}

/// Runs a command without input. Its output goes where ours goes.
pub(crate) fn succeed(name: &str, command: &mut Command) -> Result<(), Failure> {
    run(name, command.stdin(Stdio::null()))
}

/// The same with whatever input `command` has.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(Failure::io(name))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Tool { what: name.to_owned(), detail: format!("failed ({status}); see above") })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::executable;

    #[test]
    fn the_program_is_found_by_its_name_among_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","target":{"name":"levi"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"contract"},"executable":"/t/contract"}
{"reason":"compiler-artifact","target":{"name":"interop"},"executable":"/t/interop"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(messages, "", "interop"), Some(PathBuf::from("/t/interop")));
        assert_eq!(executable(messages, "", "levi"), None);
        let messages =
            br#"{"manifest_path":"/l/crates/a/Cargo.toml","target":{"name":"memory"},"executable":"/t/a"}
{"manifest_path":"/l/crates/b/Cargo.toml","target":{"name":"memory"},"executable":"/t/b"}
"#;
        assert_eq!(executable(messages, "b", "memory"), Some(PathBuf::from("/t/b")));
    }
}
