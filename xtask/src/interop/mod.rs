//! `cargo xtask interop`: Levi against third-party software.
//!
//! Supabase Lite is the server, on its own database and on PostgreSQL; the programs of `clients`
//! are the other devices. The steps are a table and share one harness. The first failure ends the
//! run, and the server ends with the harness in any case.

mod answers;
mod harness;
mod install;
mod lite;

use std::time::Instant;

use crate::failure::Failure;
use harness::Harness;

/// One step: its name, and what it does with the harness.
struct Step {
    name: &'static str,
    run: fn(&mut Harness) -> Result<(), Failure>,
}

/// In this order: steps without a server first, and last those that need the server stopped.
const STEPS: &[Step] = &[
    Step { name: "install the pinned packages", run: install::packages },
    Step { name: "tests of the JavaScript package", run: Harness::tests_in_javascript },
    Step { name: "tests of the Python package", run: Harness::tests_in_python },
    Step { name: "device list, keyrings and pairing between the programs", run: Harness::trust },
    Step { name: "contract: the fake Supabase", run: Harness::contract_of_the_fake_supabase },
    Step { name: "Realtime: realtime-js on the fake Supabase", run: Harness::realtime },
    Step { name: "the clients are paired by the command", run: Harness::pairing },
    Step { name: "two daemons and the viewer, side by side", run: Harness::side_by_side },
    Step { name: "start Supabase Lite, migrations applied twice", run: Harness::start_lite },
    Step { name: "contract: Supabase Lite", run: Harness::contract_of_lite },
    Step { name: "round trips between the programs", run: Harness::round_trips },
    Step { name: "the clients as new devices", run: Harness::clients_as_devices },
    Step { name: "the viewer in a browser", run: Harness::viewer },
    Step { name: "levi login, doctor, sync, pull", run: Harness::command },
    Step { name: "stop Supabase Lite", run: Harness::stop_lite },
    Step { name: "what the migrations left in the database", run: Harness::schema },
    Step { name: "levi doctor names what is missing", run: Harness::doctor_names_what_is_missing },
    Step { name: "start Supabase Lite on PostgreSQL", run: Harness::start_lite_on_postgres },
    Step { name: "contract: Supabase Lite on PostgreSQL", run: Harness::contract_of_lite_on_postgres },
    Step { name: "stop Supabase Lite on PostgreSQL", run: Harness::stop_lite },
    Step { name: "the change feed skips nothing on PostgreSQL", run: Harness::change_feed_skips_nothing },
    Step { name: "the change feed uses its index on PostgreSQL", run: Harness::change_feed_uses_its_index },
    Step { name: "messages are published for Realtime on PostgreSQL", run: Harness::messages_are_published },
    Step { name: "the demo against Supabase Lite", run: Harness::demo },
    Step { name: "recorded answers and docs/supabase.md", run: Harness::answers },
];

/// Runs every step. With `--write`, answers that changed are recorded instead of reported.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let record = match args {
        [] => answers::Record::Compare,
        [flag] if flag == "--write" => answers::Record::Write,
        _ => return Err(Failure::Usage("`interop` takes nothing, or --write".to_owned())),
    };
    let mut harness = Harness::new(install::programs()?, record)?;
    for (index, step) in STEPS.iter().enumerate() {
        println!("\n=== {}/{} {}", index + 1, STEPS.len(), step.name);
        let started = Instant::now();
        (step.run)(&mut harness)?;
        println!("    {:.1} s", started.elapsed().as_secs_f64());
    }
    println!("\n{} passed, 0 failed", STEPS.len());
    Ok(())
}
