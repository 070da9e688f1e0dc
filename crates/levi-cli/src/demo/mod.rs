//! `levi demo`: writes messages on one device, through an outage, and reads them on the others.

mod check;
mod devices;
mod environment;
mod expected;
mod lite;
mod outage;
mod proxy;
mod report;
mod samples;
mod send;
mod serve;
mod sessions;
mod sign_up;
mod source;
mod stored;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use rand::Rng as _;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::input::Input;

use self::devices::Devices;
use self::environment::Environment;
use self::report::{Figures, Report};
use self::source::Source;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// NDJSON to sync instead of the built-in transcript, one
    /// {"session_id"?, "message_id"?, "sequence_number"?, "content"} a line; `-` for stdin.
    #[arg(long, value_name = "FILE")]
    input: Option<Input>,
    /// Repeat or cut the input to this many messages; try 100000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// How many devices the user has: one writes, the others read.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=64))]
    devices: u16,
    /// How many seconds the server is down in the middle; 0 for no outage.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    outage: Duration,
    /// Derive ids and samples from this number. Keys are always random.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Only start a fake Supabase, and print how to try the other commands on it. A profile for each of
    /// two devices is in the new folder FOLDER. Ctrl-C ends the server and removes the folder.
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with_all = ["input", "messages", "devices", "outage", "seed", "server"]
    )]
    serve: Option<PathBuf>,
    #[command(flatten)]
    server: environment::ServerArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(3600) => Ok(duration),
        _ => Err("give 0 to 3600 seconds".to_owned()),
    }
}

pub(crate) async fn run(args: DemoArgs, console: Console) -> Result<Exit, CliError> {
    if let Some(folder) = &args.serve {
        return serve::run(folder, console).await;
    }
    let seed = args.seed.unwrap_or_else(|| UnwrapErr(SysRng).next_u64() >> 32);
    let source = Source::open(args.input)?;
    let total = args.messages.unwrap_or_else(|| source.lines());
    if source.lines() == 0 {
        return Err(CliError::Usage("the input holds no messages; write one JSON object per line"));
    }
    let environment = Environment::prepare(&args.server, seed, console).await?;
    let devices = Devices::register(&environment, args.devices, seed).await?;
    let began = Instant::now();
    let plan = send::Plan { source: &source, total, outage: args.outage, seed };
    let mut sent = send::send(&environment, &devices, &plan, console).await?;
    let written = began.elapsed();
    let read = check::check(&environment, &devices, &mut sent, console).await?;
    let figures = Figures { seed, devices: args.devices, written, took: began.elapsed() };
    let report = Report::new(&environment, &figures, &sent, &read);
    report.print(console)?;
    Ok(report.exit())
}
