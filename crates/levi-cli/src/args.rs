//! What the command line takes.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "demo")]
use crate::demo::DemoArgs;
use crate::doctor::DoctorArgs;
use crate::login::{LoginArgs, LogoutArgs};
use crate::outbox::OutboxArgs;
use crate::pull::PullArgs;
use crate::share::ShareArgs;
use crate::status::StatusArgs;
use crate::sync::SyncArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  all of it is done
  1  wrong usage, a setting that cannot work, or trouble on this machine's disk
  2  some lines or rows were bad (each is named on stderr); everything else went through
  3  some messages are still in the outbox: run `levi status`
  4  nobody is signed in: run `levi login`
  5  the server cannot be reached, or refuses: run `levi doctor --server`
  6  another process owns the outbox
  7  a check failed: `levi doctor` found something, or the demo lost, duplicated, mixed up or leaked a message";

/// Encrypted message sync to your own Supabase project.
#[derive(Debug, Parser)]
#[command(name = "levi", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// JSON for machines: results on stdout, complaints on stderr, one object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "demo")]
    /// See it work: sync a coding session through an outage, and read it on other devices.
    #[command(after_help = EXIT_CODES)]
    Demo(DemoArgs),
    /// Sync messages from a file or stdin to your project.
    #[command(after_help = EXIT_CODES)]
    Sync(SyncArgs),
    /// Read on this device what was written on another.
    #[command(after_help = EXIT_CODES)]
    Pull(PullArgs),
    /// Sign in to a project and register this device.
    #[command(after_help = EXIT_CODES)]
    Login(LoginArgs),
    /// Let a device that was registered later read the sessions that this one can. Works while a daemon runs.
    #[command(after_help = EXIT_CODES)]
    Share(ShareArgs),
    /// Forget the sign-in; keys, sessions and outbox stay.
    Logout(LogoutArgs),
    /// What waits, what is set aside, and whether anybody is at work. Works while a daemon runs.
    #[command(after_help = EXIT_CODES)]
    Status(StatusArgs),
    /// List, retry, discard or export what waits.
    #[command(after_help = EXIT_CODES)]
    Outbox(OutboxArgs),
    /// Find out what is wrong and what to do. Looks only. Works while a daemon runs.
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
}

/// Which project.
#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    /// The project's address, such as https://abcd.supabase.co. Default: the one signed in to.
    #[arg(long, env = "LEVI_URL")]
    pub(crate) url: Option<String>,
    /// Its publishable key (sb_publishable_...), or the older anon key. Default: the one signed in with.
    #[arg(long, env = "LEVI_PUBLISHABLE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// Which device.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Where this device keeps its sign-in, keys, sessions and outbox. Default: levi in the user's data folder.
    #[arg(long, env = "LEVI_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}
