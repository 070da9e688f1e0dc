//! The signed device list: `levi init`, `pair`, `devices`, `remove`, `verify`, `recover` and
//! `recovery new`. What the list is worth is in the library; here a person is shown and asked.

pub(crate) mod exit;
mod init;
mod invite;
mod join;
mod list;
mod mode;
mod opened;
mod person;
mod qr;
mod recover;
mod recovery_key;
mod remove;
mod replace_key;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(crate) use self::mode::{LIMIT, Mode, StoredMode};

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::options::{DataArgs, ProjectArgs};

/// Where the list is kept, and who keeps it.
#[derive(Debug, Args)]
pub(crate) struct Here {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    here: Here,
    /// Begin the list although other devices are registered. They read no new messages until they
    /// are paired.
    #[arg(long)]
    migrate: bool,
    /// The name of this device on the list. Default: its name in the table `devices`.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    paper: Paper,
}

/// What the recovery key is written on.
#[derive(Debug, Args)]
pub(crate) struct Paper {
    /// Write the recovery key to this new file, which only you can read, instead of showing it on
    /// the terminal. Move it off this device.
    #[arg(long, value_name = "PATH")]
    recovery_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    here: Here,
    /// On the new device: the code that the other device shows. `-` reads it from stdin, where
    /// other users of the machine do not see it. On a device of the list: absent.
    #[arg(value_name = "CODE")]
    code: Option<String>,
    /// On the new device: its name on the list. Default: its name in the table `devices`.
    #[arg(long, requires = "code")]
    name: Option<String>,
    /// On a device of the list: add the device that asks if its fingerprint begins so, without
    /// asking. For scripts.
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "code")]
    yes: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    here: Here,
    /// Its name, or the beginning of its fingerprint, as `levi devices` shows them.
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Remove it without asking.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    here: Here,
    /// The name of this device on the list. Default: its name in the table `devices`.
    #[arg(long)]
    name: Option<String>,
    /// A device that stays, by its name or the beginning of its fingerprint; give it again for
    /// more. All others are removed.
    #[arg(long, value_name = "DEVICE")]
    keep: Vec<String>,
    /// The number of the last entry that is yours: what came after it is cut off.
    #[arg(long, value_name = "ENTRY")]
    after: Option<u64>,
    #[command(flatten)]
    key: KeyInput,
}

/// Where the recovery key comes from.
#[derive(Debug, Args)]
pub(crate) struct KeyInput {
    /// Read the recovery key from stdin, and ask nothing. For scripts.
    #[arg(long)]
    key_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    #[command(subcommand)]
    command: RecoveryCommand,
}

#[derive(Debug, Subcommand)]
enum RecoveryCommand {
    /// Replace the recovery key by a new one. Asks for the old one.
    New(NewKeyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    #[command(flatten)]
    here: Here,
    #[command(flatten)]
    key: KeyInput,
    #[command(flatten)]
    paper: Paper,
}

pub(crate) async fn init(args: InitArgs, console: Console) -> Result<Exit, CliError> {
    init::run(args, console).await
}

pub(crate) async fn pair(args: PairArgs, console: Console) -> Result<Exit, CliError> {
    let PairArgs { here, code, name, yes } = args;
    match code {
        Some(code) => join::run(&here, &code, name, console).await,
        None => invite::run(&here, yes, console).await,
    }
}

pub(crate) async fn devices(args: DevicesArgs, console: Console) -> Result<Exit, CliError> {
    list::run(&args.here, console).await
}

pub(crate) async fn remove(args: RemoveArgs, console: Console) -> Result<Exit, CliError> {
    remove::run(args, console).await
}

pub(crate) async fn verify(args: VerifyArgs, console: Console) -> Result<Exit, CliError> {
    verify::run(&args.here, console).await
}

pub(crate) async fn recover(args: RecoverArgs, console: Console) -> Result<Exit, CliError> {
    recover::run(args, console).await
}

pub(crate) async fn recovery(args: RecoveryArgs, console: Console) -> Result<Exit, CliError> {
    let RecoveryCommand::New(args) = args.command;
    replace_key::run(args, console).await
}
