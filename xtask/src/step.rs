//! A run made of named steps: each timed, the first failure ends it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::metadata::{cargo, root};

/// One cargo command with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(&'static str, &'static str)>,
}

impl Step {
    /// `cargo` with `args`.
    pub(crate) fn new(name: impl Into<String>, args: &[&str]) -> Self {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self { name: name.into(), args, env: Vec::new() }
    }

    /// The same with an environment variable set.
    #[must_use]
    pub(crate) fn with_env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env.push((name, value));
        self
    }

    /// As one would type it.
    pub(crate) fn command_line(&self) -> String {
        let mut line = String::new();
        for (name, value) in &self.env {
            line.push_str(&format!("{name}='{value}' "));
        }
        line + "cargo " + &self.args.join(" ")
    }

    /// Runs it with our output, without input.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let status = Command::new(cargo())
            .args(&self.args)
            .envs(self.env.iter().copied())
            .current_dir(root())
            .stdin(Stdio::null())
            .status()
            .map_err(Failure::io(self.command_line()))?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::Step {
            name: self.name.clone(),
            status: status.to_string(),
            command: self.command_line(),
        })
    }
}

/// Runs the steps in order and prints what each took.
pub(crate) fn run_all(steps: &[Step]) -> Result<(), Failure> {
    let mut took: Vec<(&str, Duration)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n=== {}/{} {}: {}", index + 1, steps.len(), step.name, step.command_line());
        let started = Instant::now();
        let outcome = step.run();
        took.push((&step.name, started.elapsed()));
        if outcome.is_err() {
            println!("{}", summary(&took, steps.len()));
            return outcome;
        }
    }
    println!("{}", summary(&took, steps.len()));
    Ok(())
}

fn summary(took: &[(&str, Duration)], planned: usize) -> String {
    let mut text = String::from("\n=== summary\n");
    for (name, time) in took {
        text.push_str(&format!("{:>8.1} s  {name}\n", time.as_secs_f64()));
    }
    let total: Duration = took.iter().map(|(_, time)| *time).sum();
    text + &format!("{:>8.1} s  in all, {} of {planned} steps run", total.as_secs_f64(), took.len())
}
