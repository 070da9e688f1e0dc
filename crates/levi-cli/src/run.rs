//! Runs one command line and turns its outcome into an exit code.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::console::{Console, Diagnostic, Format};
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
            // If the output is closed, nobody reads the message, and the exit code says the rest.
            let _ = error.print();
            return if error.use_stderr() { Exit::BadInput } else { Exit::Done };
        }
    };
    let console = Console { format: if cli.json { Format::Json } else { Format::Text } };
    log_to_stderr(console);
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
        Command::Init(args) => crate::devices::init(args, console).await,
        Command::Pair(args) => crate::devices::pair(args, console).await,
        Command::Devices(args) => crate::devices::devices(args, console).await,
        Command::Remove(args) => crate::devices::remove(args, console).await,
        Command::Verify(args) => crate::devices::verify(args, console).await,
        Command::Recover(args) => crate::devices::recover(args, console).await,
        Command::Recovery(args) => crate::devices::recovery(args, console).await,
        Command::Doctor(args) => crate::doctor::run(args, console).await,
    }
}

fn report(console: Console, error: &CliError) -> Exit {
    if let CliError::Output(error) = error
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        // The reader has what it wanted, as in `levi pull | head`.
        return Exit::Done;
    }
    console.report(&Diagnostic::new(error.to_string()));
    error.exit()
}

/// Logs to stderr at the level that `LEVI_LOG` names; by default nothing.
fn log_to_stderr(console: Console) {
    let level = std::env::var_os("LEVI_LOG").map_or(LevelFilter::OFF, |level| log_level(&level, console));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .finish();
    // Fails only if a test of this process has set a subscriber before.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn log_level(level: &OsStr, console: Console) -> LevelFilter {
    level.to_str().and_then(|level| level.parse().ok()).unwrap_or_else(|| {
        let problem = format!("LEVI_LOG is {level:?}, which is not a log level, so nothing is logged");
        let advice = "set it to error, warn, info, debug or trace";
        console.report(&Diagnostic::new(format!("{problem}; {advice}")));
        LevelFilter::OFF
    })
}
