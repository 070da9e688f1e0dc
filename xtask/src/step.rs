//! A run made of named steps: each timed, the first failure ends it.

use std::fmt;
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

/// Runs the steps in order; prints what each took, after it and once more at the end.
pub(crate) fn run_all(steps: &[Step]) -> Result<(), Failure> {
    let mut times = Times { planned: steps.len(), taken: Vec::new() };
    let outcome = steps.iter().enumerate().try_for_each(|(index, step)| {
        println!("\n=== {}/{} {}: {}", index + 1, steps.len(), step.name, step.command_line());
        let started = Instant::now();
        let outcome = step.run();
        let took = started.elapsed();
        println!("=== {}/{} {}: {:.1} s", index + 1, steps.len(), step.name, took.as_secs_f64());
        times.taken.push((step.name.clone(), took));
        outcome
    });
    print!("{times}");
    outcome
}

/// How long each step took.
struct Times {
    planned: usize,
    taken: Vec<(String, Duration)>,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n=== summary")?;
        for (name, time) in &self.taken {
            writeln!(f, "{:>8.1} s  {name}", time.as_secs_f64())?;
        }
        let total: Duration = self.taken.iter().map(|(_, time)| *time).sum();
        let (run, planned) = (self.taken.len(), self.planned);
        writeln!(f, "{:>8.1} s  in total, {run} of {planned} steps run", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;

    #[test]
    fn the_summary_adds_up_and_says_how_many_steps_did_not_run() {
        let taken = vec![
            ("test".to_owned(), Duration::from_secs(2)),
            ("docs".to_owned(), Duration::from_millis(500)),
        ];
        let text = Times { planned: 3, taken }.to_string();
        assert!(text.contains("     2.0 s  test"), "{text}");
        assert!(text.ends_with("     2.5 s  in total, 2 of 3 steps run\n"), "{text}");
    }
}
