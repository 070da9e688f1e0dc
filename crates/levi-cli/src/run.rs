//! From the command line to the exit code.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::console::{Complaint, Console, Format};
use crate::error::CliError;
use crate::exit::Exit;

/// Runs the command that this process's arguments name.
pub fn run() -> ExitCode {
    run_with(std::env::args_os()).into()
}

fn run_with(args: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Where it cannot be printed nobody wants to know.
            let _ = error.print();
            return if error.use_stderr() { Exit::Trouble } else { Exit::Done };
        }
    };
    let console = Console { format: if cli.json { Format::Json } else { Format::Text } };
    log_to_stderr();
    let outcome = Runtime::new()
        .map_err(|source| CliError::System { what: "start the runtime", source })
        .and_then(|runtime| runtime.block_on(perform(cli.command, console)));
    outcome.unwrap_or_else(|error| report(console, &error))
}

async fn perform(command: Command, console: Console) -> Result<Exit, CliError> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => crate::demo::run(args, console).await,
        Command::Sync(args) => crate::sync::run(args, console).await,
        Command::Pull(args) => crate::pull::run(args, console).await,
        Command::Login(args) => crate::login::login(args, console).await,
        Command::Logout(args) => crate::login::logout(&args, console),
        Command::Share(args) => crate::share::run(args, console).await,
        Command::Status(args) => crate::status::run(&args, console),
        Command::Outbox(args) => crate::outbox::run(&args, console),
        Command::Doctor(args) => crate::doctor::run(args, console).await,
    }
}

fn report(console: Console, error: &CliError) -> Exit {
    if let CliError::Output(error) = error
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        // `levi pull | head` has what it wanted.
        return Exit::Done;
    }
    console.complain(&Complaint {
        line: None,
        session_id: None,
        sequence_number: None,
        error: error.to_string(),
    });
    error.exit()
}

/// `LEVI_LOG=info` (or debug, trace) shows what Levi does.
fn log_to_stderr() {
    let level = std::env::var("LEVI_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::OFF))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    // Only fails where a test has set one before.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
