//! Changes by hand, beside a daemon that is at work or without one.

use std::path::Path;

use levi::{AdminCommand, Clock as _, Inspector, OutboxAdmin, OwnerNotice, RowId, RowState, SystemClock};
use serde::Serialize;

use super::{ChosenArgs, PAGE, existing, open};
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
    let (_, path) = existing(&args.data)?;
    let chosen = Chosen::find(&open(&path)?, args, console)?;
    let mut commands: Vec<_> = chosen.parked.iter().copied().map(AdminCommand::Unpark).collect();
    commands.push(AdminCommand::RetryNow);
    let notice = change(&path, &commands)?;
    let retried = chosen.parked.len() as u64 + chosen.pending;
    console.json(&chosen.changed(Some(retried), None))?;
    console.say(format!("{} due now; {}", plural(retried, "row"), words(notice)))?;
    Ok(chosen.exit())
}

pub(super) fn discard(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let (_, path) = existing(&args.data)?;
    let chosen = Chosen::find(&open(&path)?, args, console)?;
    // Children first: a row that others wait for is not discarded.
    let commands: Vec<_> = chosen.all.iter().rev().copied().map(AdminCommand::Discard).collect();
    change(&path, &commands)?;
    let discarded = chosen.all.len() as u64;
    console.json(&chosen.changed(None, Some(discarded)))?;
    console.say(format!("{} discarded; what was not sent yet never will be", plural(discarded, "row")))?;
    Ok(chosen.exit())
}

/// Changes of one transaction.
const CHANGED_AT_ONCE: usize = 500;

const fn words(notice: OwnerNotice) -> &'static str {
    match notice {
        OwnerNotice::Notified => "the daemon was told",
        OwnerNotice::NotListening => "the daemon finds it when it wakes up next",
        OwnerNotice::NoOwner => "start the daemon, or run `levi sync`",
    }
}

/// Changes the outbox beside its owner, if there is one, and notifies it.
fn change(path: &Path, commands: &[AdminCommand]) -> Result<OwnerNotice, CliError> {
    let mut admin = OutboxAdmin::open(path)?;
    let at = SystemClock::new().now().wall;
    let mut notice = OwnerNotice::NoOwner;
    // Not in one go: the owner waits for each, and gives up after a few seconds.
    for some in commands.chunks(CHANGED_AT_ONCE) {
        notice = admin.commit(some, at)?;
    }
    Ok(notice)
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
    fn find(outbox: &Inspector, args: &ChosenArgs, console: Console) -> Result<Self, CliError> {
        let mut chosen = Self::default();
        if args.all_parked {
            chosen.parked = all_parked(outbox)?;
            chosen.all.clone_from(&chosen.parked);
            return Ok(chosen);
        }
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

    fn miss(&mut self, what: &str, console: Console) {
        self.not_found += 1;
        let error = format!("there is no {what}; see `levi outbox list`");
        console.complain(&Complaint { line: None, session_id: None, sequence_number: None, error });
    }

    fn changed(&self, retried: Option<u64>, discarded: Option<u64>) -> Changed {
        Changed { retried, discarded, not_found: self.not_found }
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
