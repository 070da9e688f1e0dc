//! `cargo xtask sim`: Levi in a simulation, seed after seed.

use crate::failure::Failure;
use crate::step::Step;

/// How many seeds run without arguments.
const DEFAULT_SEEDS: &str = "20000";

/// Passes its arguments to `levi-sim`: `--seeds N [--first S]`, or `--seed S [--trace]`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut step = Step::new("sim", &["run", "--quiet", "--release", "--package", "levi-sim", "--"]);
    if args.is_empty() {
        step.args.extend(["--seeds", DEFAULT_SEEDS].map(str::to_owned));
    }
    step.args.extend(args.iter().cloned());
    step.run()
}
