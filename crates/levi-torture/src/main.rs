//! The commands behind `cargo xtask crash`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use levi_torture::Error;
use levi_torture::child::{self, Job};
use levi_torture::flood::{self, Flood};
use levi_torture::{crash, damage, hold};

const USAGE: &str =
    "levi-torture crash [--kills N] [--seed S] | damage [--files N] [--seed S] | flood [--minutes M]";

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("levi-torture: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &[String]) -> Result<ExitCode, Error> {
    match args {
        [name, job] if name == "child" => {
            let job: Job = serde_json::from_str(job)?;
            // The child has printed the error for its parent.
            Ok(if child::run(job).await.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        [name, rest @ ..] if name == "crash" => {
            let kills = number(rest, "--kills")?.unwrap_or(300);
            let seed = number(rest, "--seed")?.unwrap_or(1);
            let options = crash::Options { kills: usize::try_from(kills)?, seed };
            let figures = crash::run(&std::env::current_exe()?, options).await?;
            print!("seed {seed}: {figures}");
            Ok(if figures.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        [name, rest @ ..] if name == "damage" => {
            let files = number(rest, "--files")?.unwrap_or(2_000);
            let seed = number(rest, "--seed")?.unwrap_or(0);
            let figures = damage::run(seed, files)?;
            print!("{figures}");
            Ok(if figures.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        [name, rest @ ..] if name == "flood" => {
            let minutes = number(rest, "--minutes")?.unwrap_or(1);
            flood_for(Duration::from_secs(60 * minutes))
        }
        [name, job] if name == "flood-child" => {
            let tally = flood::flood(serde_json::from_str(job)?).await?;
            println!("{}", serde_json::to_string(&tally)?);
            Ok(ExitCode::SUCCESS)
        }
        [name, path] if name == "hold-write-lock" => {
            hold::write_lock(Path::new(path)).map(|()| ExitCode::SUCCESS)
        }
        [name, path] if name == "own-outbox" => hold::outbox(Path::new(path)).map(|()| ExitCode::SUCCESS),
        _ => Err(USAGE.into()),
    }
}

/// Floods with small messages, then with large ones, half of the time each.
fn flood_for(lasting: Duration) -> Result<ExitCode, Error> {
    let mut code = ExitCode::SUCCESS;
    for bytes in [200, 400_000] {
        let folder = tempfile::tempdir()?;
        let flood = Flood {
            folder: folder.path().to_owned(),
            lasting: lasting / 2,
            max_pending_bytes: 1 << 30,
            bytes,
        };
        let tally = flood::run(&std::env::current_exe()?, &flood)?;
        println!("messages of {bytes} bytes for {} s:\n{tally}", flood.lasting.as_secs());
        if tally.peak_bytes > flood::MEMORY_LIMIT || tally.other > 0 {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// The number after the option `name`, if it is given.
fn number(args: &[String], name: &str) -> Result<Option<u64>, Error> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(None) };
    let value = args.get(at + 1).ok_or_else(|| format!("{name} needs a number; {USAGE}"))?;
    Ok(Some(value.parse().map_err(|_| format!("{name} needs a number, not {value}"))?))
}
