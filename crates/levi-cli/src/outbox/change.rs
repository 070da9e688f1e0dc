//! Changes by hand, beside a daemon that is at work or without one.

use std::path::Path;

use levi::{ByHand, Clock as _, Guest, Inspector, ListedTask, RowId, RowState, SystemClock, ring};
use serde::Serialize;

use super::tasks::MOST;
use super::{ChosenArgs, PAGE, existing, open};
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::owner;
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
    let (_, path) = existing(&args.data)?;
    let chosen = Chosen::find(&open(&path)?, args, console)?;
    let mut changes: Vec<_> = chosen.parked.iter().copied().map(ByHand::Unpark).collect();
    changes.extend(chosen.tasks.iter().cloned().map(ByHand::UnparkTask));
    changes.push(ByHand::RetryNow);
    let told = change(&path, &changes)?;
    let retried = chosen.parked.len() as u64 + chosen.pending;
    console.json(&chosen.changed(Some(retried), None))?;
    console.say(format!("{} due now; {}", chosen.words(retried), told.words()))?;
    Ok(chosen.exit())
}

pub(super) fn discard(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let (_, path) = existing(&args.data)?;
    let chosen = Chosen::find(&open(&path)?, args, console)?;
    let mut changes: Vec<_> = chosen.all.iter().copied().map(ByHand::Discard).collect();
    changes.extend(chosen.tasks.iter().cloned().map(ByHand::DiscardTask));
    change(&path, &changes)?;
    let discarded = chosen.all.len() as u64;
    console.json(&chosen.changed(None, Some(discarded)))?;
    console.say(format!("{} discarded; what was not sent yet never will be", chosen.words(discarded)))?;
    Ok(chosen.exit())
}

/// Changes of one transaction.
const CHANGED_AT_ONCE: usize = 500;

/// Who will act on a change.
enum Told {
    Daemon,
    DaemonLater,
    Nobody,
}

impl Told {
    const fn words(&self) -> &'static str {
        match self {
            Self::Daemon => "the daemon was told",
            Self::DaemonLater => "the daemon finds it when it wakes up next",
            Self::Nobody => "start the daemon, or run `levi sync`",
        }
    }
}

/// Changes the outbox beside its owner, if there is one, and tells it.
fn change(path: &Path, changes: &[ByHand]) -> Result<Told, CliError> {
    let mut guest = Guest::open(path)?;
    let at = SystemClock::new().now().wall;
    // Not in one go: the owner waits for each, and gives up after a few seconds.
    for some in changes.chunks(CHANGED_AT_ONCE) {
        guest.commit(some, at)?;
    }
    Ok(match (owner::is_owned(path), ring(path)) {
        (_, Ok(())) => Told::Daemon,
        (Some(false), Err(_)) => Told::Nobody,
        (_, Err(_)) => Told::DaemonLater,
    })
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
    fn find(outbox: &Inspector, args: &ChosenArgs, console: Console) -> Result<Self, CliError> {
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
        outbox: &Inspector,
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

fn all_parked(outbox: &Inspector) -> Result<Vec<RowId>, CliError> {
    let (mut after, mut parked) = (None, Vec::new());
    loop {
        let rows = outbox.list(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(parked) };
        after = Some(last.id);
        parked.extend(rows.iter().filter(|row| row.parked).map(|row| row.id));
    }
}
