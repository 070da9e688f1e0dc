//! `levi completions` and `levi man`: what a package installs beside the command.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::error::CliError;
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The directory for the pages, which must exist.
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "levi", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script).map_err(CliError::Output)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &ManArgs, command: Command) -> Result<Exit, CliError> {
    let fail = |source| CliError::File { path: args.directory.clone(), source };
    clap_mangen::generate_to(command, &args.directory).map_err(fail)?;
    Ok(Exit::Done)
}
