//! `cargo xtask crash`: a daemon killed again and again over the same files.

use crate::failure::Failure;
use crate::step::Step;

/// Passes its arguments on; what they are, the program says.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut step = Step::new("crash", &["run", "--quiet", "--package", "levi-torture", "--"]);
    match args.first().map(String::as_str) {
        // Any other name than an option's is a command of the program, such as `flood`.
        Some(name) if !name.starts_with('-') => {}
        _ => step.args.push("crash".to_owned()),
    }
    step.args.extend(args.iter().cloned());
    step.run()
}
