//! `levi outbox`: lists, exports and changes the rows of the outbox.

mod change;
mod export;
mod list;
mod repair;
mod restore;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use levi::outbox::sqlite::Inspector;
use levi::outbox::{ListedRow, RowId};

use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::options::DataArgs;

/// Rows per read.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    command: OutboxCommand,
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// List what is pending and what is parked, and why. Works while a daemon runs.
    List(ListArgs),
    /// Unpark rows, and make everything due now. Works while a daemon runs.
    Retry(ChosenArgs),
    /// Delete rows: what was not sent yet is never sent. Works while a daemon runs.
    Discard(ChosenArgs),
    /// Write a session to the server again that was deleted on another device: its row, its secret,
    /// and what is here of its messages. Works while a daemon runs.
    Restore(RestoreArgs),
    /// Print messages, decrypted, as NDJSON that `levi sync` reads. Works while a daemon runs.
    Export(ListArgs),
    /// Check the whole outbox and the session store, and recover what can be read of a damaged one. Stop the daemon
    /// first.
    Repair(RepairArgs),
}

#[derive(Debug, Args)]
struct RepairArgs {
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Only parked rows.
    #[arg(long)]
    parked: bool,
    /// At most this many rows.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    #[command(flatten)]
    data: DataArgs,
    /// The session.
    #[arg(value_name = "UUID")]
    session: String,
}

#[derive(Debug, Args)]
struct ChosenArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Row numbers, as `levi outbox list` shows them.
    #[arg(value_name = "ROW", required_unless_present = "all_parked")]
    rows: Vec<i64>,
    /// All parked rows.
    #[arg(long, conflicts_with = "rows")]
    all_parked: bool,
}

pub(crate) fn run(args: &OutboxArgs, console: Console) -> Result<Exit, CliError> {
    match &args.command {
        OutboxCommand::List(args) => list::run(args, console),
        OutboxCommand::Export(args) => export::run(args, console),
        OutboxCommand::Restore(args) => restore::run(args, console),
        OutboxCommand::Retry(args) => change::retry(args, console),
        OutboxCommand::Discard(args) => change::discard(args, console),
        OutboxCommand::Repair(args) => repair::run(args, console),
    }
}

/// The path of an outbox that exists.
fn outbox_path(data: &DataArgs) -> Result<PathBuf, CliError> {
    let path = data.folder().outbox_path();
    if path.exists() { Ok(path) } else { Err(CliError::NoOutbox { path }) }
}

/// Visits the rows that `args` asks for and that are wanted, a page at a time. Returns their
/// number.
fn each_row(
    inspector: &Inspector,
    args: &ListArgs,
    is_wanted: impl Fn(&ListedRow) -> bool,
    mut visit: impl FnMut(&ListedRow) -> Result<(), CliError>,
) -> Result<u64, CliError> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let (mut after, mut visited): (Option<RowId>, u64) = (None, 0);
    loop {
        let rows = inspector.list(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(visited) };
        after = Some(last.id);
        for row in rows.iter().filter(|row| (row.parked || !args.parked) && is_wanted(row)) {
            if visited == limit {
                return Ok(visited);
            }
            visit(row)?;
            visited += 1;
        }
    }
}
