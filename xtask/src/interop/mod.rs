//! `cargo xtask interop`: Levi against third-party software.
//!
//! Supabase Lite is the server, on its own database and on PostgreSQL; the programs of `clients`
//! are the other devices. The steps of a lane share one harness. The first failure ends the lane, and its
//! server ends with the harness in any case.

mod answers;
mod harness;
mod install;
mod lite;

use std::process::Command;
use std::time::Instant;

use crate::failure::Failure;
use crate::jobs::{self, Job};
use crate::programs;
use harness::Harness;

/// One step: its name, and what it does with the harness.
struct Step {
    name: &'static str,
    run: fn(&mut Harness) -> Result<(), Failure>,
}

/// Steps that need each other, in order.
struct Lane {
    name: &'static str,
    steps: &'static [Step],
}

/// No lane needs another one, so they run side by side.
const LANES: &[Lane] = &[
    // First, because it takes as long as the others together.
    Lane {
        name: "lite",
        steps: &[
            Step { name: "start Supabase Lite, migrations applied twice", run: Harness::start_lite },
            Step { name: "contract: Supabase Lite", run: Harness::contract_of_lite },
            Step { name: "round trips between the programs", run: Harness::round_trips },
            Step { name: "the clients as new devices", run: Harness::clients_as_devices },
            Step { name: "the viewer in a browser", run: Harness::viewer },
            Step { name: "levi login, doctor, sync, pull", run: Harness::command },
            // What follows needs the server stopped.
            Step { name: "stop Supabase Lite", run: Harness::stop_lite },
            Step { name: "what the migrations left in the database", run: Harness::schema },
            Step { name: "levi doctor names what is missing", run: Harness::doctor_names_what_is_missing },
            Step { name: "the demo against Supabase Lite", run: Harness::demo },
        ],
    },
    Lane {
        name: "fake",
        steps: &[
            Step { name: "tests of the JavaScript package", run: Harness::tests_in_javascript },
            Step { name: "tests of the Python package", run: Harness::tests_in_python },
            Step { name: "device list, keyrings and pairing between the programs", run: Harness::trust },
            Step { name: "contract: the fake Supabase", run: Harness::contract_of_the_fake_supabase },
            Step { name: "Realtime: realtime-js on the fake Supabase", run: Harness::realtime },
            Step { name: "the clients are paired by the command", run: Harness::pairing },
            Step { name: "two daemons and the viewer, side by side", run: Harness::side_by_side },
        ],
    },
    Lane {
        name: "postgres",
        steps: &[
            Step { name: "start Supabase Lite on PostgreSQL", run: Harness::start_lite_on_postgres },
            Step {
                name: "contract: Supabase Lite on PostgreSQL",
                run: Harness::contract_of_lite_on_postgres,
            },
            Step { name: "stop Supabase Lite on PostgreSQL", run: Harness::stop_lite },
            Step { name: "the change feed skips nothing", run: Harness::change_feed_skips_nothing },
            Step { name: "the change feed uses its index", run: Harness::change_feed_uses_its_index },
            Step { name: "messages are published for Realtime", run: Harness::messages_are_published },
        ],
    },
];

/// Makes this program run one lane by itself.
const LANE: &str = "--lane";

/// Runs every lane. With `--write`, answers that changed are recorded instead of reported.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let (lane, rest) = match args {
        [flag, lane, rest @ ..] if flag == LANE => (Some(lane.as_str()), rest),
        _ => (None, args),
    };
    let record = match rest {
        [] => answers::Record::Compare,
        [flag] if flag == "--write" => answers::Record::Write,
        _ => return Err(usage()),
    };
    let mut harness = Harness::new(install::programs()?, record)?;
    if let Some(name) = lane {
        let lane = LANES.iter().find(|lane| lane.name == name).ok_or_else(usage)?;
        return run_lane(lane, &mut harness);
    }
    install::packages(&mut harness)?;
    // Now, because two lanes that compile wait for each other.
    programs::levi()?;
    programs::as_tested("interop")?;
    jobs::run_all(LANES.iter().map(|lane| job(lane, rest)).collect::<Result<_, _>>()?)?;
    answers::compare_or_record_all(harness.folder(), record)
}

fn usage() -> Failure {
    let lanes: Vec<&str> = LANES.iter().map(|lane| lane.name).collect();
    Failure::Usage(format!("`interop` takes nothing, or {LANE} ({}), or --write", lanes.join(", ")))
}

/// A lane as a process of its own, so that its output can be shown in one piece.
fn job(lane: &Lane, rest: &[String]) -> Result<Job, Failure> {
    let this = std::env::current_exe().map_err(Failure::io("the path of xtask"))?;
    let mut command = Command::new(this);
    command.args(["interop", LANE, lane.name]).args(rest);
    Ok(Job { name: lane.name.to_owned(), command })
}

fn run_lane(lane: &Lane, harness: &mut Harness) -> Result<(), Failure> {
    for (index, step) in lane.steps.iter().enumerate() {
        println!("\n=== {} {}/{} {}", lane.name, index + 1, lane.steps.len(), step.name);
        let started = Instant::now();
        (step.run)(harness)?;
        println!("    {:.1} s", started.elapsed().as_secs_f64());
    }
    println!("\n{} passed, 0 failed", lane.steps.len());
    Ok(())
}
