//! `cargo xtask test`: one command for all tests.

use crate::failure::Failure;
use crate::step::Step;

/// Runs `cargo test` over the workspace with every feature.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut step = step();
    step.args.extend(args.iter().cloned());
    step.run()
}

/// The same as a step. All features at once: a second run with others would compile most
/// dependencies again.
pub(crate) fn step() -> Step {
    Step::new("test", &["test", "--workspace", "--all-features"])
}
