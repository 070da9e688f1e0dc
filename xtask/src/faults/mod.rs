//! `cargo xtask faults`: can the simulation fail? Each patch in `faults/` plants one bug. The
//! command applies them one at a time to a copy of the tree and shows which oracle of the
//! simulation catches each, after how many seeds. If the simulation cannot show a bug, its patch
//! names the program or the test that catches it.

mod patches;
mod tree;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::programs;
use patches::{Catcher, Fault};
use tree::Tree;

/// Seeds without a violation after which a planted bug counts as not caught. The tree without any
/// bug must survive as many, which is also how CI simulates.
const MAX_SEEDS: &str = "60000";

/// A program with one planted bug, ready to run.
struct Built<'f> {
    fault: &'f Fault,
    program: PathBuf,
    took: Duration,
}

/// What a simulation found: the first violation.
struct Violation {
    oracle: String,
    seeds: String,
}

/// Plants only those bugs that a program catches, and of these every fourth.
///
/// Each build takes about 20 s, and a bug that a test catches makes cargo build the workspace's
/// tests anew. All bugs are planted at night.
pub(crate) const SAMPLE: &str = "--sample";

/// Tries the planted bugs whose names contain one of `args`, or all; with [`SAMPLE`], some.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (options, names): (Vec<String>, Vec<String>) = args.iter().cloned().partition(|arg| arg == SAMPLE);
    let mut faults = patches::select(&names)?;
    if !options.is_empty() {
        faults.retain(|fault| !matches!(fault.catcher, Catcher::Test { .. }));
        faults = faults.into_iter().step_by(4).collect();
    }
    let tree = Tree::copy()?;
    let mut catchers: Vec<&Catcher> = faults.iter().map(|fault| &fault.catcher).collect();
    catchers.dedup();
    for catcher in catchers {
        let unpatched = tree.build(catcher, catcher.package())?;
        let what = format!("{} without a planted bug", catcher.package());
        programs::succeed(&what, &mut command(catcher, &unpatched))?;
    }
    println!("\n{:<46} {:<16} {:>7} {:>7}  what is broken", "planted bug", "caught by", "seeds", "built");
    let survived = thread::scope(|scope| {
        // Builds the next one while this one is simulated, because neither keeps two cores busy.
        let (sender, built) = mpsc::sync_channel(0);
        let (tree, faults) = (&tree, &faults);
        scope.spawn(move || {
            for fault in faults {
                let outcome = build(tree, fault);
                let failed = outcome.is_err();
                if sender.send(outcome).is_err() || failed {
                    return;
                }
            }
        });
        built.iter().try_fold(0, |survived, built| Ok(survived + usize::from(!is_caught(&built?)?)))
    })?;
    if survived > 0 { Err(Failure::Findings(survived)) } else { Ok(()) }
}

/// Builds the program with a planted bug, and takes the bug out of the tree again.
fn build<'f>(tree: &Tree, fault: &'f Fault) -> Result<Built<'f>, Failure> {
    let started = Instant::now();
    tree.apply(&fault.patch, &[])?;
    let program = tree.build(&fault.catcher, &fault.name);
    tree.apply(&fault.patch, &["--reverse"])?;
    Ok(Built { fault, program: program?, took: started.elapsed() })
}

/// Runs the program, and prints the bug's line of the table.
fn is_caught(built: &Built<'_>) -> Result<bool, Failure> {
    let Built { fault, program, took } = built;
    let violation = first_violation(&fault.catcher, program)?;
    let caught = violation.is_some();
    let Violation { oracle, seeds } =
        violation.unwrap_or_else(|| Violation { oracle: "NOTHING".to_owned(), seeds: MAX_SEEDS.to_owned() });
    println!("{:<46} {oracle:<16} {seeds:>7} {:>5.0} s  {}", fault.name, took.as_secs_f64(), fault.about);
    Ok(caught)
}

fn command(catcher: &Catcher, program: &Path) -> Command {
    let mut command = Command::new(program);
    match catcher {
        Catcher::Simulation => command.args(["--seeds", MAX_SEEDS]),
        Catcher::Program { args, .. } => command.args(args),
        Catcher::Test { name, .. } => command.args([name, "--exact"]),
    };
    command.stdin(Stdio::null());
    command
}

fn first_violation(catcher: &Catcher, program: &Path) -> Result<Option<Violation>, Failure> {
    let mut run = command(catcher, program);
    if *catcher == Catcher::Simulation {
        run.arg("--first-only");
    }
    let what = catcher.package();
    let output = run.output().map_err(Failure::io(what))?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let violation = match catcher {
        Catcher::Simulation => text.lines().find_map(parse_violation),
        // It says by its exit code that it found something, and which seed shows it.
        Catcher::Program { .. } => {
            text.lines().find_map(|line| parse_violation(line).or_else(|| parse_finding(line)))
        }
        Catcher::Test { .. } => text.lines().find_map(parse_test),
    };
    match violation {
        Some(violation) => Ok(Some(violation)),
        None => Err(Failure::Tool { what: what.into(), detail: output.status.to_string() }),
    }
}

/// Reads `seed 7: StaleRoot (..): ..`.
fn parse_finding(line: &str) -> Option<Violation> {
    let (seed, rest) = line.strip_prefix("seed ")?.split_once(": ")?;
    let (oracle, _) = rest.split_once(' ')?;
    Some(Violation { oracle: oracle.to_owned(), seeds: seed.to_owned() })
}

/// Reads `test it_ends ... FAILED`.
fn parse_test(line: &str) -> Option<Violation> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(Violation { oracle: "its test".to_owned(), seeds: "-".to_owned() })
}

/// Reads `seed 7 breaks a promise after 8 seeds: [order] at ..`.
fn parse_violation(line: &str) -> Option<Violation> {
    let (_, rest) = line.split_once(" after ").filter(|(start, _)| start.starts_with("seed "))?;
    let (seeds, rest) = rest.split_once(" seeds")?;
    let (_, rest) = rest.split_once('[')?;
    let (oracle, _) = rest.split_once(']')?;
    Some(Violation { oracle: oracle.to_owned(), seeds: seeds.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{parse_test, parse_violation};

    #[test]
    fn the_line_of_a_failing_seed_is_parsed() {
        let line = "seed 7 breaks a promise after 8 seeds: [order] at 1.000 s: s0/1 waits on disk [..]";
        let violation = parse_violation(line).unwrap();
        assert_eq!((violation.oracle.as_str(), violation.seeds.as_str()), ("order", "8"));
        assert_eq!(parse_test("test it_ends ... FAILED").unwrap().oracle, "its test");
        assert!(parse_test("test it_ends ... ok").is_none());
        assert!(parse_violation("8 seeds in 1.0 s (8 seeds/s): 12 turns after all [..]").is_none());
    }
}
