//! Changes by hand. Only the outbox's owner may change it, so while a daemon runs nothing is touched.

use std::path::Path;

use levi::{
    Change, Clock as _, ListedTask, OutboxStore as _, RowId, RowState, SqliteOptions, SqliteOutbox,
    SystemClock,
};
use serde::Serialize;

use super::tasks::MOST;
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
    /// Rows of sessions and repositories that were retried or discarded.
    tasks: u64,
    not_found: u64,
}

pub(super) fn retry(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let at = SystemClock::new().now().wall;
    let (_, path) = existing(&args.data)?;
    let mut outbox = own(&path)?;
    let chosen = Chosen::find(&outbox, args, console)?;
    let mut changes: Vec<_> = chosen.parked.iter().map(|row| Change::Unpark { row: *row, at }).collect();
    changes.extend(chosen.tasks.iter().map(|name| Change::UnparkTask { name: name.clone(), at }));
    changes.push(Change::RetryNow { at });
    outbox.commit(&changes, &[])?;
    let retried = chosen.parked.len() as u64 + chosen.pending;
    console.json(&chosen.changed(Some(retried), None))?;
    let what = chosen.words(retried);
    console.say(format!("{what} due now; start the daemon, or run `levi sync`"))?;
    Ok(chosen.exit())
}

pub(super) fn discard(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let (_, path) = existing(&args.data)?;
    let mut outbox = own(&path)?;
    let chosen = Chosen::find(&outbox, args, console)?;
    let mut changes: Vec<_> = chosen.all.iter().map(|row| Change::Discard { row: *row }).collect();
    changes.extend(chosen.tasks.iter().map(|name| Change::DiscardTask { name: name.clone() }));
    outbox.commit(&changes, &[])?;
    let discarded = chosen.all.len() as u64;
    console.json(&chosen.changed(None, Some(discarded)))?;
    console.say(format!("{} discarded; the server will never have them", chosen.words(discarded)))?;
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
    tasks: Vec<String>,
    not_found: u64,
}

impl Chosen {
    fn find(outbox: &SqliteOutbox, args: &ChosenArgs, console: Console) -> Result<Self, CliError> {
        let mut chosen = Self::default();
        if args.all_parked {
            chosen.parked = all_parked(outbox)?;
            chosen.all.clone_from(&chosen.parked);
            let parked = outbox.tasks(MOST)?.into_iter().filter(ListedTask::is_parked);
            chosen.tasks.extend(parked.map(|task| task.name));
            return Ok(chosen);
        }
        chosen.find_tasks(outbox, &args.tasks, console)?;
        for row in args.rows.iter().copied().map(RowId) {
            match outbox.row_state(row)? {
                RowState::Gone => {
                    chosen.miss(&format!("row {}", row.0), console);
                    continue;
                }
                RowState::Parked(_) => chosen.parked.push(row),
                RowState::Pending(_) => chosen.pending += 1,
            }
            chosen.all.push(row);
        }
        Ok(chosen)
    }

    fn find_tasks(
        &mut self,
        outbox: &SqliteOutbox,
        wanted: &[String],
        console: Console,
    ) -> Result<(), CliError> {
        let there = if wanted.is_empty() { Vec::new() } else { outbox.tasks(MOST)? };
        for name in wanted {
            if there.iter().any(|task| task.name == *name) {
                self.tasks.push(name.clone());
            } else {
                self.miss(&format!("task {name}"), console);
            }
        }
        Ok(())
    }

    fn miss(&mut self, what: &str, console: Console) {
        self.not_found += 1;
        let error = format!("there is no {what}; see `levi outbox list`");
        console.complain(&Complaint { line: None, session_id: None, sequence_number: None, error });
    }

    fn changed(&self, retried: Option<u64>, discarded: Option<u64>) -> Changed {
        Changed { retried, discarded, tasks: self.tasks.len() as u64, not_found: self.not_found }
    }

    fn words(&self, messages: u64) -> String {
        let messages = plural(messages, "message");
        match self.tasks.len() as u64 {
            0 => messages,
            tasks => format!("{messages} and {}", plural(tasks, "session row")),
        }
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
