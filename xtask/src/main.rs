//! What this repository checks about itself. `cargo xtask help` lists it.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod crash;
mod failure;
mod faults;
mod interop;
mod metadata;
mod sim;
mod step;
mod tests;
mod tidy;

use std::process::ExitCode;

use failure::Failure;

/// A subcommand: what is typed, what it is for, what runs.
struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        about: "All tests of all crates, doc examples included. What follows goes to `cargo test`.",
        run: tests::run,
    },
    Command {
        name: "tidy",
        about: "The rules no compiler checks: who may depend on whom, sources, documents, licences.",
        run: tidy::run,
    },
    Command {
        name: "interop",
        about: "Levi against Supabase Lite and the JavaScript and Python readers; `--write` records new answers.",
        run: interop::run,
    },
    Command {
        name: "crash",
        about: "A daemon killed by SIGKILL over the same files: `--kills N`, `--seed S`. Or `flood --minutes M`.",
        run: crash::run,
    },
    Command {
        name: "sim",
        about: "Levi in a simulated world: `--seeds N`, or one again: `--seed S --trace`.",
        run: sim::run,
    },
    Command {
        name: "faults",
        about: "Planted faults, and which oracle of the simulation catches each; names select some.",
        run: faults::run,
    },
    Command {
        name: "bench",
        about: "How close to the limit: `--quick`, groups by name, `--write` for docs. Or `--instructions`.",
        run: bench::run,
    },
    Command {
        name: "ci",
        about: "Everything that must pass before a change lands, step by step, with times.",
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            failure.exit_code()
        }
    }
}

fn dispatch(args: &[String]) -> Result<(), Failure> {
    let Some((name, rest)) = args.split_first() else {
        eprint!("{}", help());
        return Err(Failure::Usage("say which command to run".to_owned()));
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => Err(Failure::Usage(format!("there is no command `{name}`; `cargo xtask help` lists them"))),
    }
}

fn help() -> String {
    let mut text = String::from("Usage: cargo xtask <command>\n\n");
    for Command { name, about, .. } in COMMANDS {
        text.push_str(&format!("  {name:<8} {about}\n"));
    }
    text
}
