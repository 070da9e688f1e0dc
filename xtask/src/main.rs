//! What this repository checks about itself. `cargo xtask help` lists it.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod crash;
mod failure;
mod faults;
mod fuzz;
mod interop;
mod jobs;
mod metadata;
mod programs;
mod release;
mod rusqlite;
mod sim;
mod source_copy;
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
        about: "All tests of all packages, doc examples included. Arguments go to `cargo test`.",
        run: tests::run,
    },
    Command {
        name: "tidy",
        about: "The rules that no compiler checks: dependencies, sources, documents, packages, licences.",
        run: tidy::run,
    },
    Command {
        name: "interop",
        about: "Levi with Supabase Lite and the JavaScript and Python readers; `--write` records new answers.",
        run: interop::run,
    },
    Command {
        name: "rusqlite",
        about: "The SQLite crates with the oldest and the newest rusqlite that they accept.",
        run: rusqlite::run,
    },
    Command {
        name: "crash",
        about: "A daemon that is killed again and again: `--kills N`, `--seed S`. Or `flood --minutes M`.",
        run: crash::run,
    },
    Command {
        name: "sim",
        about: "Levi in a simulation: `--seeds N`, or one seed again: `--seed S --trace`.",
        run: sim::run,
    },
    Command {
        name: "faults",
        about: "Planted bugs, and which oracle of the simulation catches each; names select some, `--sample` those of CI.",
        run: faults::run,
    },
    Command {
        name: "fuzz",
        about: "libFuzzer on every target, or on those named: `--seconds N` for each. `--check` only compiles.",
        run: fuzz::run,
    },
    Command {
        name: "bench",
        about: "What Levi costs: `--quick`, groups by name, `--write` for the docs. Or `--instructions`.",
        run: bench::run,
    },
    Command {
        name: "publish-check",
        about: "Packages every crate as `cargo publish` would, without publishing.",
        run: release::publish_check,
    },
    Command {
        name: "msrv",
        about: "Compiles with the oldest supported Rust, where that toolchain is installed.",
        run: release::msrv,
    },
    Command {
        name: "semver",
        about: "Compares the public API with that of a revision: `semver [REV]`, else the last tag.",
        run: release::semver,
    },
    Command {
        name: "targets",
        about: "Compiles for Windows and macOS, where their standard libraries are installed.",
        run: release::targets,
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
        return Err(Failure::Usage("name a command".to_owned()));
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
        text.push_str(&format!("  {name:<14} {about}\n"));
    }
    text
}
