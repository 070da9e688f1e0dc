//! `cargo xtask crash`: a daemon that is killed again and again over the same files.

use std::process::Command;

use crate::failure::Failure;
use crate::metadata::root;
use crate::programs;

/// Passes its arguments to `levi-torture`, which explains them.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut torture = Command::new(programs::as_tested("levi-torture")?);
    torture.current_dir(root());
    if args.first().is_none_or(|first| first.starts_with('-')) {
        // Only options: the default command. Anything else names a command, such as `flood`.
        torture.arg("crash");
    }
    programs::succeed("levi-torture", torture.args(args))
}
