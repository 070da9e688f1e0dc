//! A shell in which `levi` is the built command.

use std::process::{Command, Stdio};

use super::{Device, Outcome};

impl Device<'_> {
    /// Runs a line in a shell.
    pub fn in_shell(&self, line: &str) -> Outcome {
        self.in_shell_with(line, &[])
    }

    /// Runs a line in a shell with these variables.
    pub fn in_shell_with(&self, line: &str, variables: &[(&str, &str)]) -> Outcome {
        let levi = self.command(&[]);
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; levi() {{ \"$LEVI\" \"$@\"; }}; {line}")]);
        for (name, value) in levi.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("LEVI", levi.get_program()).envs(variables.iter().copied());
        Outcome::of(shell.stdin(Stdio::null()).output().unwrap())
    }
}
