//! `cargo xtask test`: one command for all tests.
//!
//! Most test programs wait for sockets, disks and deadlines, and `cargo test` runs one program after
//! the other. Here as many run at once as there are processors.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::Failure;
use crate::jobs::{self, Job};
use crate::metadata::{cargo, root};
use crate::step::Step;

/// All features at once: a second run with others would compile most dependencies again.
const ALL: [&str; 3] = ["test", "--workspace", "--all-features"];

/// Runs all tests of the workspace with every feature. With arguments: `cargo test` with these.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if !args.is_empty() {
        let mut step = Step::new("test", &ALL);
        step.args.extend(args.iter().cloned());
        return step.run();
    }
    let mut jobs = vec![examples_in_docs()];
    // Last compiled, first run: these depend on everything, and their tests take longest.
    jobs.extend(programs()?.into_iter().rev().map(Program::into_job));
    jobs::run_all(jobs)
}

fn examples_in_docs() -> Job {
    let mut command = Command::new(cargo());
    command.args(ALL).arg("--doc").current_dir(root());
    Job { name: "examples in docs".to_owned(), command }
}

/// A compiled test program.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    /// The file that it was compiled from.
    source: PathBuf,
    /// The folder of its package, in which cargo runs it.
    folder: PathBuf,
}

impl Program {
    /// The program in one of cargo's messages, if the message is of a test program.
    fn in_message(line: &[u8]) -> Option<Self> {
        let message: Value = serde_json::from_slice(line).ok()?;
        if message["profile"]["test"] != true {
            return None;
        }
        let path = |value: &Value| value.as_str().map(PathBuf::from);
        Some(Self {
            path: path(&message["executable"])?,
            source: path(&message["target"]["src_path"])?,
            folder: path(&message["manifest_path"])?.parent()?.to_owned(),
        })
    }

    fn into_job(self) -> Job {
        let source = self.source.strip_prefix(root()).map(Path::to_owned).unwrap_or(self.source);
        let mut command = Command::new(self.path);
        // As cargo does it.
        command.env("CARGO_MANIFEST_DIR", &self.folder).current_dir(self.folder);
        Job { name: source.display().to_string(), command }
    }
}

/// Compiles every test program.
fn programs() -> Result<Vec<Program>, Failure> {
    let mut build = Command::new(cargo());
    build.args(ALL).args(["--no-run", "--message-format=json-render-diagnostics"]).current_dir(root());
    // Cargo's progress is shown, so only its messages are captured.
    let output = build.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(Failure::io("cargo test --no-run"))?;
    if !output.status.success() {
        let detail = format!("failed ({}); see above", output.status);
        return Err(Failure::Tool { what: "compiling the tests".to_owned(), detail });
    }
    let programs: Vec<Program> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(Program::in_message).collect();
    if programs.is_empty() {
        let detail = "names no test program; has the form of cargo's messages changed?".to_owned();
        return Err(Failure::Tool { what: "cargo test --no-run".to_owned(), detail });
    }
    Ok(programs)
}

#[cfg(test)]
mod tests_of_messages {
    use super::{PathBuf, Program};

    #[test]
    fn test_programs_are_told_from_other_artifacts() {
        let test =
            br#"{"manifest_path":"/l/crates/a/Cargo.toml","target":{"src_path":"/l/crates/a/tests/t.rs"},
            "profile":{"test":true},"executable":"/t/t-1"}"#;
        let program = Program {
            path: PathBuf::from("/t/t-1"),
            source: PathBuf::from("/l/crates/a/tests/t.rs"),
            folder: PathBuf::from("/l/crates/a"),
        };
        assert_eq!(Program::in_message(test), Some(program));
        let example = br#"{"profile":{"test":false},"executable":"/t/e"}"#;
        assert_eq!(Program::in_message(example), None);
    }
}
