//! The commands, and the options that all of them have.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[cfg(feature = "demo")]
use crate::demo::DemoArgs;
use crate::devices::{DevicesArgs, InitArgs, PairArgs, RecoverArgs, RecoveryArgs, RemoveArgs, VerifyArgs};
use crate::doctor::DoctorArgs;
use crate::login::{LoginArgs, LogoutArgs};
use crate::outbox::OutboxArgs;
use crate::profiles::ProfilesArgs;
use crate::pull::PullArgs;
use crate::sessions::SessionsArgs;
use crate::share::ShareArgs;
use crate::shell::{CompletionsArgs, ManArgs};
use crate::status::StatusArgs;
use crate::sync::SyncArgs;

const AFTER_HELP: &str = "\
Exit codes:
  0  everything is done
  1  an error on this machine, such as a setting that cannot work or a file that cannot be read or written
  2  wrong usage (nothing was done), or bad lines or rows (each is named on stderr; all others were processed)
  3  some messages are still in the outbox: run `levi status`
  4  not signed in: run `levi login`
  5  the server cannot be reached, or refuses: run `levi doctor --server`; or another device does not answer
  6  another process owns the outbox
  7  a check failed: `levi doctor` found a problem, or the demo lost, duplicated, reordered or leaked a message
  8  the device list stopped sealing: nothing is lost, and the message says what to do
  130, 143  stopped by Ctrl-C (SIGINT) or SIGTERM; run it again, nothing is lost

Environment:
  LEVI_PROFILE, LEVI_CONFIG  the profile, and the file of profiles
  LEVI_URL, LEVI_PUBLISHABLE_KEY, LEVI_DATA_DIR, LEVI_EMAIL, LEVI_CA_FILE, LEVI_HEADER  as the options
  LEVI_NO_REALTIME  as --no-realtime
  NO_COLOR  no colours; there are none in pipes and with --json anyway
  HTTPS_PROXY, ALL_PROXY, NO_PROXY  the proxy to use; http, https, socks4, socks4a, socks5 and socks5h
  LEVI_LOG  what Levi logs to stderr: error, warn, info, debug or trace; nothing by default";

/// Encrypted message sync to your own Supabase project.
#[derive(Debug, Parser)]
#[command(name = "levi", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print JSON, one object a line: results to stdout, errors and notices to stderr.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress, no hints at what to do next, and no good news.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// The profile of the file of profiles that gives url, key, data directory and the like where
    /// neither options nor the environment do; "" for none. Default: the file's default_profile.
    #[arg(long, env = "LEVI_PROFILE", value_name = "NAME", global = true)]
    pub(crate) profile: Option<String>,
    /// The file of profiles. Default: levi/config.toml in the folder for settings, such as ~/.config.
    #[arg(long, env = "LEVI_CONFIG", value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "demo")]
    /// Show Levi at work: sync a coding session through an outage and read it on other devices.
    #[command(after_help = AFTER_HELP)]
    Demo(DemoArgs),
    /// Sync messages from a file or stdin to your project.
    #[command(after_help = AFTER_HELP)]
    Sync(SyncArgs),
    /// Print the messages of every session that this device can read, decrypted; with --follow as
    /// they come.
    #[command(after_help = AFTER_HELP)]
    Pull(PullArgs),
    /// Sign in to a project and register this device.
    #[command(after_help = AFTER_HELP)]
    Login(LoginArgs),
    /// List the sessions of all devices, and which of them this device can read.
    #[command(after_help = AFTER_HELP)]
    Sessions(SessionsArgs),
    /// Share the sessions that this device can read with devices that were registered later. Works
    /// while a daemon runs.
    #[command(after_help = AFTER_HELP)]
    Share(ShareArgs),
    /// Delete the stored sign-in; keys, sessions and outbox stay.
    #[command(after_help = AFTER_HELP)]
    Logout(LogoutArgs),
    /// Show what is pending, what is parked and why, and whether a daemon runs. Works while a
    /// daemon runs.
    #[command(after_help = AFTER_HELP)]
    Status(StatusArgs),
    /// List, retry, discard or export the rows of the outbox.
    #[command(after_help = AFTER_HELP)]
    Outbox(OutboxArgs),
    /// Begin a signed list of your devices with this one, and make a recovery key. From then on only devices
    /// on the list are given secrets.
    #[command(after_help = AFTER_HELP)]
    Init(InitArgs),
    /// Add a device to the list: without CODE on a device of the list, which shows one; with it on the new device.
    #[command(after_help = AFTER_HELP)]
    Pair(PairArgs),
    /// Show who is on the device list; without one, who is given the secrets of sessions.
    #[command(after_help = AFTER_HELP)]
    Devices(DevicesArgs),
    /// Remove a device from the list: it reads nothing that is written from then on.
    #[command(after_help = AFTER_HELP)]
    Remove(RemoveArgs),
    /// Show digits that are equal on all devices that have seen the same list.
    #[command(after_help = AFTER_HELP)]
    Verify(VerifyArgs),
    /// Put this device on the list with the recovery key, and remove the others: all are lost, or a thief has one.
    #[command(after_help = AFTER_HELP)]
    Recover(RecoverArgs),
    /// Replace the recovery key.
    #[command(after_help = AFTER_HELP)]
    Recovery(RecoveryArgs),
    /// Find problems of this device and of the project, and say what to do. Changes nothing in a
    /// sound project. Works while a daemon runs.
    #[command(after_help = AFTER_HELP)]
    Doctor(DoctorArgs),
    /// List the profiles of the file of profiles, and say which is in use.
    #[command(after_help = AFTER_HELP)]
    Profiles(ProfilesArgs),
    /// Print a completion script for a shell: `levi completions bash > ~/.local/share/bash-completion/completions/levi`.
    Completions(CompletionsArgs),
    /// Write manual pages to a directory.
    Man(ManArgs),
}
