//! Runs one command line and turns its outcome into an exit code.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::config::ConfigError;
use crate::console::{Console, Diagnostic, Extras, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::settings::Settings;

/// How long what still runs at the end of a command may take to end.
pub(crate) const LAST_WORK: Duration = Duration::from_secs(2);

/// Runs the command that this process's arguments name.
pub fn run() -> ExitCode {
    if std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
        // Left to itself, the library writes colours there where the variable `CI` is set.
        ColorChoice::Never.write_global();
    }
    run_with(std::env::args_os()).into()
}

fn run_with(args: impl IntoIterator<Item = OsString>) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut command = Cli::command();
    // Parsed without a profile first, because the command line names it.
    let parsed = command.try_get_matches_from_mut(&args);
    let first = match parsed.map_err(|error| with_plain_usage(error, &command, &args)) {
        Ok(matches) => matches,
        // The format is not known without it, so it is looked for.
        Err(error) if error.use_stderr() && args.iter().any(|arg| arg == "--json") => {
            let console = Console { format: Format::Json, extras: Extras::Hidden };
            console.report(&Diagnostic::new(error.to_string().trim_end()));
            return Exit::BadInput;
        }
        Err(error) => return answer(&error),
    };
    let console = console(&first);
    if let Ok(cli @ Cli { command: Command::Completions(_) | Command::Man(_), .. }) =
        Cli::from_arg_matches(&first)
    {
        // What a package is built with depends on nobody's file of profiles.
        return start(cli, &Settings::default(), console);
    }
    match resolve(command, &first, &args) {
        Ok((cli, settings)) => start(cli, &settings, console),
        Err(Refusal::Usage(error)) => answer(&error),
        Err(Refusal::Config(error)) => report(console, &error.into()),
    }
}

fn console(matches: &ArgMatches) -> Console {
    Console {
        format: if matches.get_flag("json") { Format::Json } else { Format::Text },
        extras: if matches.get_flag("quiet") { Extras::Hidden } else { Extras::Shown },
    }
}

/// Why a command line is not run.
enum Refusal {
    Usage(clap::Error),
    Config(ConfigError),
}

fn resolve(
    command: clap::Command,
    first: &ArgMatches,
    args: &[OsString],
) -> Result<(Cli, Settings), Refusal> {
    let mut settings = Settings::choose(first).map_err(Refusal::Config)?;
    let mut command = settings.apply(command);
    let matches = command.try_get_matches_from_mut(args);
    let matches = matches.map_err(|error| Refusal::Usage(with_plain_usage(error, &command, args)))?;
    settings.note(&command, &matches);
    Ok((Cli::from_arg_matches(&matches).map_err(Refusal::Usage)?, settings))
}

/// Names the usage of the command as its help does. Left to itself, the library shows what the environment sets as if it
/// had to be given.
fn with_plain_usage(mut error: clap::Error, command: &clap::Command, args: &[OsString]) -> clap::Error {
    if error.get(ContextKind::Usage).is_none() {
        return error;
    }
    let mut meant = command.clone();
    for arg in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        if let Some(subcommand) = meant.find_subcommand(arg).cloned() {
            meant = subcommand;
        }
    }
    error.insert(ContextKind::Usage, ContextValue::StyledStr(meant.render_usage()));
    error
}

/// Prints help, the version, or what is wrong with the command line.
fn answer(error: &clap::Error) -> Exit {
    match error.print() {
        _ if error.use_stderr() => Exit::BadInput,
        // Nobody reads the rest.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Exit::LocalError,
        _ => Exit::Done,
    }
}

fn start(cli: Cli, settings: &Settings, console: Console) -> Exit {
    log_to_stderr(console);
    let runtime = Runtime::new().map_err(|source| CliError::System { what: "start the runtime", source });
    let outcome = runtime.and_then(|runtime| {
        let outcome = runtime.block_on(perform(cli.command, settings, console));
        // A request may hang, and what it would bring is not waited for. New tokens that are being stored are.
        runtime.shutdown_timeout(LAST_WORK);
        outcome
    });
    outcome.unwrap_or_else(|error| report(console, &error))
}

async fn perform(command: Command, settings: &Settings, console: Console) -> Result<Exit, CliError> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => crate::demo::run(args, console).await,
        Command::Sync(args) => crate::sync::run(args, console).await,
        Command::Pull(args) => crate::pull::run(args, console).await,
        Command::Login(args) => crate::login::login(args, console).await,
        Command::Logout(args) => crate::login::logout(&args, console),
        Command::Sessions(args) => crate::sessions::run(args, console).await,
        Command::Share(args) => crate::share::run(args, console).await,
        Command::Status(args) => crate::status::run(&args, console).await,
        Command::Outbox(args) => crate::outbox::run(&args, console),
        Command::Init(args) => crate::devices::init(args, console).await,
        Command::Pair(args) => crate::devices::pair(args, console).await,
        Command::Devices(args) => crate::devices::devices(args, console).await,
        Command::Remove(args) => crate::devices::remove(args, console).await,
        Command::Verify(args) => crate::devices::verify(args, console).await,
        Command::Recover(args) => crate::devices::recover(args, console).await,
        Command::Recovery(args) => crate::devices::recovery(args, console).await,
        Command::Doctor(args) => crate::doctor::run(args, settings, console).await,
        Command::Profiles(_) => crate::profiles::run(settings, console),
        Command::Completions(args) => crate::shell::completions(&args, Cli::command()),
        Command::Man(args) => crate::shell::man(&args, Cli::command()),
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
        .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
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
