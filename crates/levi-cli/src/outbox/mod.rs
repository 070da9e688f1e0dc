//! What waits in the outbox, row by row.

mod change;
mod export;
mod list;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use levi::{Inspector, ListedRow, RowId};

use crate::args::DataArgs;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::home;

/// Rows read at once.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    command: OutboxCommand,
}

#[derive(Debug, Subcommand)]
enum OutboxCommand {
    /// What waits and what was set aside, and why. Works while a daemon runs.
    List(ListArgs),
    /// Put what was set aside back in line, and make everything due now. Works while a daemon runs.
    Retry(ChosenArgs),
    /// Remove messages, or a session's own row, for good. Works while a daemon runs.
    Discard(ChosenArgs),
    /// Write what waits as NDJSON that `levi sync` takes: decrypted, to stdout. Works while a daemon runs.
    Export(ListArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Only what was set aside.
    #[arg(long)]
    parked: bool,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Args)]
struct ChosenArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Row numbers, as `levi outbox list` shows them.
    #[arg(value_name = "ROW", required_unless_present = "all_parked")]
    rows: Vec<i64>,
    /// Everything that was set aside.
    #[arg(long, conflicts_with = "rows")]
    all_parked: bool,
}

pub(crate) fn run(args: &OutboxArgs, console: Console) -> Result<Exit, CliError> {
    match &args.command {
        OutboxCommand::List(args) => list::run(args, console),
        OutboxCommand::Export(args) => export::run(args, console),
        OutboxCommand::Retry(args) => change::retry(args, console),
        OutboxCommand::Discard(args) => change::discard(args, console),
    }
}

fn existing(data: &DataArgs) -> Result<(PathBuf, PathBuf), CliError> {
    let folder = home::folder(data.data_dir.as_deref());
    let path = home::outbox_path(&folder);
    if path.exists() { Ok((folder, path)) } else { Err(CliError::NoOutbox { path }) }
}

/// Every row that `args` asks for, a page at a time.
fn each_row(
    inspector: &Inspector,
    args: &ListArgs,
    mut visit: impl FnMut(&ListedRow) -> Result<(), CliError>,
) -> Result<u64, CliError> {
    let limit = args.limit.unwrap_or(u64::MAX);
    let (mut after, mut visited): (Option<RowId>, u64) = (None, 0);
    loop {
        let rows = inspector.list(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(visited) };
        after = Some(last.id);
        for row in rows.iter().filter(|row| row.parked || !args.parked) {
            if visited == limit {
                return Ok(visited);
            }
            visit(row)?;
            visited += 1;
        }
    }
}

fn open(path: &Path) -> Result<Inspector, CliError> {
    Ok(Inspector::open(path)?)
}
