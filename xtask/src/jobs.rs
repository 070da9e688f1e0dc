//! Commands that do not depend on each other, side by side.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::failure::Failure;

/// A command with a name.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: Command,
}

/// Runs all jobs in this order, as many at once as there are processors, without input. The output
/// of each is printed when it ends, so that no two mix. A job that fails stops no other one, and is
/// named at the end.
pub(crate) fn run_all(jobs: Vec<Job>) -> Result<(), Failure> {
    let count = jobs.len();
    let waiting = Mutex::new(jobs.into_iter());
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(job) = locked(&waiting, Iterator::next) {
            let name = job.name.clone();
            // What has begun and does not end is what hangs.
            locked(&failed, |_| println!("--- {name}: begun"));
            let (succeeded, report) = run(job);
            locked(&failed, |failed| {
                // Under the lock, so that reports do not mix.
                print!("{report}");
                if !succeeded {
                    failed.push(name);
                }
            });
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(count) {
            scope.spawn(work);
        }
    });
    let failed = locked(&failed, std::mem::take);
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Tool { what: format!("{} of {count} failed", failed.len()), detail: failed.join(", ") })
}

fn locked<T, R>(mutex: &Mutex<T>, with: impl FnOnce(&mut T) -> R) -> R {
    with(&mut mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Whether it succeeded, and what to print of it.
fn run(mut job: Job) -> (bool, String) {
    let started = Instant::now();
    let output = job.command.stdin(Stdio::null()).output();
    let took = started.elapsed().as_secs_f64();
    match output {
        Ok(output) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (out, err) = (text(&output.stdout), text(&output.stderr));
            let report = format!("\n--- {}: {}, {took:.1} s\n{out}{err}", job.name, output.status);
            (output.status.success(), report)
        }
        Err(error) => (false, format!("\n--- {}: not started: {error}\n", job.name)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Job, run_all};

    fn job(name: &str) -> Job {
        Job { name: name.to_owned(), command: Command::new(name) }
    }

    #[test]
    fn every_job_runs_and_each_that_fails_is_named() {
        assert!(run_all(vec![job("true"), job("true"), job("true")]).is_ok());
        let failure =
            run_all(vec![job("false"), job("true"), job("no-such-program")]).unwrap_err().to_string();
        assert!(failure.starts_with("2 of 3 failed: "), "{failure}");
        assert!(failure.contains("false") && failure.contains("no-such-program"), "{failure}");
    }
}
