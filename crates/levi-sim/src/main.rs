//! `levi-sim --seeds N [--first S] [--threads T]`: runs seeds. `levi-sim --seed S [--trace]`: runs
//! one again. With `--device-lists`, every seed runs only the simulation of devices with a signed
//! list.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use levi_sim::{Campaign, Plan, Summary, Worlds, replay, run, run_device_lists, shrink};

const USAGE: &str = "usage: levi-sim [--device-lists] --seeds N [--first S] [--threads T] [--first-only] | \
     [--device-lists] --seed S [--trace]";

#[derive(Default)]
struct Options {
    seeds: Option<u64>,
    seed: Option<u64>,
    first: u64,
    threads: Option<usize>,
    trace: bool,
    /// Only print which seed failed first, without shrinking.
    first_only: bool,
    worlds: Worlds,
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // The report contains the panics of threads.
    std::panic::set_hook(Box::new(|_| {}));
    match (options.seeds, options.seed) {
        (Some(seeds), None) => campaign(seeds, &options),
        (None, Some(seed)) => match options.worlds {
            Worlds::All => one(seed, options.trace),
            Worlds::DeviceLists => one_device_list(seed, options.trace),
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seeds" => options.seeds = Some(args.next()?.parse().ok()?),
            "--seed" => options.seed = Some(args.next()?.parse().ok()?),
            "--first" => options.first = args.next()?.parse().ok()?,
            "--threads" => options.threads = Some(args.next()?.parse().ok()?),
            "--trace" => options.trace = true,
            "--first-only" => options.first_only = true,
            "--device-lists" => options.worlds = Worlds::DeviceLists,
            _ => return None,
        }
    }
    Some(options)
}

fn campaign(seeds: u64, options: &Options) -> ExitCode {
    let threads = options.threads.or_else(|| thread::available_parallelism().ok().map(Into::into));
    let (first, threads, worlds) = (options.first, threads.unwrap_or(1), options.worlds);
    let campaign = Campaign { first, seeds, threads, worlds };
    let started = Instant::now();
    let summary = campaign.run();
    let took = started.elapsed().as_secs_f64();
    let Summary { failing, seeds, counts } = summary;
    println!(
        "{seeds} seeds in {took:.1} s ({:.0} seeds/s): {} turns, {} requests, {} messages stored, {} parked, {} restarts",
        seeds as f64 / took,
        counts.turns,
        counts.requests,
        counts.stored,
        counts.parked,
        counts.restarts
    );
    let Some(failing) = failing else {
        println!("no promise was broken");
        return ExitCode::SUCCESS;
    };
    println!("\nseed {} breaks a promise after {seeds} seeds: {}", failing.seed, failing.violation);
    if options.first_only {
        return ExitCode::FAILURE;
    }
    if options.worlds == Worlds::DeviceLists {
        println!("replay it with: cargo xtask sim --device-lists --seed {} --trace", failing.seed);
        return ExitCode::FAILURE;
    }
    let plan = Plan::generate(failing.seed);
    let smallest = shrink(&plan);
    println!("{} of its {} events are enough:\n{smallest}", smallest.events.len(), plan.events.len());
    println!("replay it with: cargo xtask sim --seed {} --trace", failing.seed);
    ExitCode::FAILURE
}

fn one_device_list(seed: u64, trace: bool) -> ExitCode {
    let outcome = run_device_lists(seed);
    if trace {
        outcome.trace.iter().for_each(|line| println!("{line}"));
    }
    match outcome.violation {
        None => {
            println!("no promise was broken");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, trace: bool) -> ExitCode {
    let plan = Plan::generate(seed);
    println!("{plan}");
    let outcome = if trace { replay(&plan) } else { run(&plan) };
    for line in &outcome.trace {
        println!("{line}");
    }
    println!("{:?}", outcome.counts);
    match outcome.violation {
        None => {
            println!("no promise was broken");
            ExitCode::SUCCESS
        }
        Some(violation) => {
            println!("{violation}");
            let smallest = shrink(&plan);
            println!("{} of its {} events are enough:\n{smallest}", smallest.events.len(), plan.events.len());
            if trace {
                for line in replay(&smallest).trace {
                    println!("{line}");
                }
            }
            ExitCode::FAILURE
        }
    }
}
