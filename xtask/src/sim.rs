//! `cargo xtask sim`: Levi in a simulated world, seed after seed.

use crate::failure::Failure;
use crate::step::Step;

/// Seeds that every change must survive.
const SEEDS_IN_CI: &str = "20000";

/// Passes its arguments on: `--seeds N [--first S]`, or `--seed S [--trace]`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut step = Step::new("sim", &["run", "--quiet", "--release", "--package", "levi-sim", "--"]);
    if args.is_empty() {
        step.args.extend(["--seeds", SEEDS_IN_CI].map(str::to_owned));
    }
    step.args.extend(args.iter().cloned());
    step.run()
}
