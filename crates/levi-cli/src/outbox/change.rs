//! Changes by hand. Only the outbox's owner may change it, so while a daemon runs nothing is touched.

use std::path::Path;

use levi::{Change, Clock as _, OutboxStore as _, RowId, RowState, SqliteOptions, SqliteOutbox, SystemClock};
use serde::Serialize;

use super::{ChosenArgs, PAGE, existing};
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::plural;

#[derive(Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<u64>,
    not_found: u64,
}

pub(super) fn retry(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let at = SystemClock::new().now().wall;
    let (_, path) = existing(&args.data)?;
    let mut outbox = own(&path)?;
    let chosen = Chosen::find(&outbox, args, console)?;
    let mut changes: Vec<_> = chosen.parked.iter().map(|row| Change::Unpark { row: *row, at }).collect();
    changes.push(Change::RetryNow { at });
    outbox.commit(&changes, &[])?;
    let retried = chosen.parked.len() as u64 + chosen.pending;
    console.json(&Changed { retried: Some(retried), discarded: None, not_found: chosen.not_found })?;
    console.say(format!("{} due now; start the daemon, or run `levi sync`", plural(retried, "message")))?;
    Ok(chosen.exit())
}

pub(super) fn discard(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let (_, path) = existing(&args.data)?;
    let mut outbox = own(&path)?;
    let chosen = Chosen::find(&outbox, args, console)?;
    let changes: Vec<_> = chosen.all.iter().map(|row| Change::Discard { row: *row }).collect();
    outbox.commit(&changes, &[])?;
    let discarded = chosen.all.len() as u64;
    console.json(&Changed { retried: None, discarded: Some(discarded), not_found: chosen.not_found })?;
    console.say(format!("{} discarded; the server will never have them", plural(discarded, "message")))?;
    Ok(chosen.exit())
}

fn own(path: &Path) -> Result<SqliteOutbox, CliError> {
    Ok(SqliteOutbox::open(path, SqliteOptions::default())?)
}

/// The rows that were asked for, as far as they are there.
#[derive(Default)]
struct Chosen {
    all: Vec<RowId>,
    parked: Vec<RowId>,
    pending: u64,
    not_found: u64,
}

impl Chosen {
    fn find(outbox: &SqliteOutbox, args: &ChosenArgs, console: Console) -> Result<Self, CliError> {
        let mut chosen = Self::default();
        if args.all_parked {
            chosen.parked = all_parked(outbox)?;
            chosen.all.clone_from(&chosen.parked);
            return Ok(chosen);
        }
        for row in args.rows.iter().copied().map(RowId) {
            match outbox.row_state(row)? {
                RowState::Gone => {
                    chosen.not_found += 1;
                    let error = format!("there is no row {}; see `levi outbox list`", row.0);
                    let none = Complaint { line: None, session_id: None, sequence_number: None, error };
                    console.complain(&none);
                    continue;
                }
                RowState::Parked(_) => chosen.parked.push(row),
                RowState::Pending(_) => chosen.pending += 1,
            }
            chosen.all.push(row);
        }
        Ok(chosen)
    }

    const fn exit(&self) -> Exit {
        if self.not_found > 0 { Exit::BadInput } else { Exit::Done }
    }
}

fn all_parked(outbox: &SqliteOutbox) -> Result<Vec<RowId>, CliError> {
    let (mut after, mut parked) = (None, Vec::new());
    loop {
        let rows = outbox.list(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(parked) };
        after = Some(last.id);
        parked.extend(rows.iter().filter(|row| row.parked).map(|row| row.id));
    }
}
