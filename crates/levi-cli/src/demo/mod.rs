//! The main job in one command: a message written on one device is read on others, through an outage.

mod check;
mod devices;
mod ledger;
mod lite;
mod needles;
mod outage;
mod proxy;
mod report;
mod send;
mod sign_up;
mod source;
mod stage;
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

use self::devices::Devices;
use self::report::{Figures, Report};
use self::source::Source;
use self::stage::Stage;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// NDJSON to sync instead of the transcript that is shipped, one
    /// {"session_id"?, "message_id"?, "sequence_number"?, "content"} a line; `-` for stdin.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Repeat (or cut) the input to so many messages; try 100000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    messages: Option<u64>,
    /// Devices of the user: one writes, the others read.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=64))]
    devices: u16,
    /// Seconds for which the server is down in the middle; 0 for no outage.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    outage: Duration,
    /// Makes ids and samples follow from this number. Keys never do.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    server: stage::ServerArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= Duration::from_secs(3600) => Ok(duration),
        _ => Err("give 0 to 3600 seconds".to_owned()),
    }
}

pub(crate) async fn run(args: DemoArgs, console: Console) -> Result<Exit, CliError> {
    let seed = args.seed.unwrap_or_else(|| UnwrapErr(SysRng).next_u64() >> 32);
    let source = Source::open(args.input.as_deref())?;
    let total = args.messages.unwrap_or_else(|| source.lines());
    if source.lines() == 0 {
        return Err(CliError::Usage("the input holds no messages; write one JSON object per line"));
    }
    let stage = Stage::set(&args.server, seed, console).await?;
    let devices = Devices::register(&stage, args.devices, seed).await?;
    let began = Instant::now();
    let plan = send::Plan { source: &source, total, outage: args.outage, seed };
    let mut sent = send::send(&stage, &devices, &plan, console).await?;
    let written = began.elapsed();
    let read = check::check(&stage, &devices, &mut sent, console).await?;
    let figures = Figures { seed, devices: args.devices, written, took: began.elapsed() };
    let report = Report::new(&stage, &figures, &sent, &read)?;
    report.print(console)?;
    Ok(report.exit())
}
