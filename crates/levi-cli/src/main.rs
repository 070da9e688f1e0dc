//! The command `levi`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    levi_cli::run()
}
