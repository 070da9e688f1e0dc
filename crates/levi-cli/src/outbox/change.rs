//! `levi outbox retry` and `discard`: changes next to a daemon, or without one.

use std::cmp::Reverse;

use levi::core::SystemClock;
use levi::outbox::sqlite::{AdminCommand, Inspector, OutboxAdmin, OwnerNotice};
use levi::outbox::{ListedRow, RowId};
use levi::types::Clock as _;
use serde::Serialize;

use super::{ChosenArgs, PAGE, outbox_path};
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::plural;

/// Commands per transaction. The owner process waits for each transaction, and gives up after a few
/// seconds.
const MAX_COMMANDS: usize = 500;

#[derive(Default, Serialize)]
struct Changed {
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded: Option<u64>,
    not_found: u64,
}

pub(super) fn retry(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let path = outbox_path(&args.data)?;
    let mut admin = OutboxAdmin::open(&path)?;
    let chosen = Chosen::find(&Inspector::open(&path)?, args, console)?;
    let parked = chosen.rows.iter().filter(|row| row.parked);
    let mut commands: Vec<_> = parked.map(|row| AdminCommand::Unpark(row.id)).collect();
    commands.push(AdminCommand::RetryNow);
    let notice = commit(&mut admin, &commands)?;
    let retried = chosen.rows.len() as u64;
    console.json(&Changed { retried: Some(retried), not_found: chosen.not_found, ..Changed::default() })?;
    if retried > 0 || chosen.not_found == 0 {
        console.say(format!("{} due now; {}", plural(retried, "row"), next(notice)))?;
    }
    Ok(chosen.exit())
}

pub(super) fn discard(args: &ChosenArgs, console: Console) -> Result<Exit, CliError> {
    let path = outbox_path(&args.data)?;
    let mut admin = OutboxAdmin::open(&path)?;
    let mut chosen = Chosen::find(&Inspector::open(&path)?, args, console)?;
    // Messages and secrets before sessions, sessions before repositories: a row that others wait
    // for cannot be discarded.
    chosen.rows.sort_by_key(|row| Reverse(row.kind));
    let commands: Vec<_> = chosen.rows.iter().map(|row| AdminCommand::Discard(row.id)).collect();
    commit(&mut admin, &commands)?;
    let discarded = chosen.rows.len() as u64;
    console.json(&Changed {
        discarded: Some(discarded),
        not_found: chosen.not_found,
        ..Changed::default()
    })?;
    console.say(format!("{} discarded; what was not sent yet never will be", plural(discarded, "row")))?;
    Ok(chosen.exit())
}

/// What happens next, for people.
pub(super) const fn next(notice: OwnerNotice) -> &'static str {
    match notice {
        OwnerNotice::Notified => "the daemon was notified",
        OwnerNotice::NotListening => "the daemon sends them when it wakes up next",
        OwnerNotice::NoOwner => "start the daemon, or run `levi sync`",
    }
}

/// Rows that were read are found in `admin` only if that was opened before: it refuses a file that a repair has replaced.
pub(super) fn commit(admin: &mut OutboxAdmin, commands: &[AdminCommand]) -> Result<OwnerNotice, CliError> {
    let at = SystemClock::new().now().wall;
    let mut notice = OwnerNotice::NoOwner;
    for some in commands.chunks(MAX_COMMANDS) {
        notice = admin.commit(some, at)?;
    }
    Ok(notice)
}

/// The rows that the command line names, as far as they exist.
struct Chosen {
    rows: Vec<ListedRow>,
    not_found: u64,
}

impl Chosen {
    fn find(outbox: &Inspector, args: &ChosenArgs, console: Console) -> Result<Self, CliError> {
        if args.all_parked {
            return Ok(Self { rows: all_parked(outbox)?, not_found: 0 });
        }
        let mut chosen = Self { rows: Vec::new(), not_found: 0 };
        for id in args.rows.iter().copied().map(RowId) {
            let next = outbox.list(Some(RowId(id.0.saturating_sub(1))), 1)?;
            match next.into_iter().find(|row| row.id == id) {
                Some(row) => chosen.rows.push(row),
                None => {
                    chosen.not_found += 1;
                    let error = format!("there is no row {}; see `levi outbox list`", id.0);
                    console.report(&Diagnostic::new(error));
                }
            }
        }
        Ok(chosen)
    }

    const fn exit(&self) -> Exit {
        if self.not_found > 0 { Exit::BadInput } else { Exit::Done }
    }
}

fn all_parked(outbox: &Inspector) -> Result<Vec<ListedRow>, CliError> {
    let (mut after, mut parked) = (None, Vec::new());
    loop {
        let rows = outbox.list(after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(parked) };
        after = Some(last.id);
        parked.extend(rows.into_iter().filter(|row| row.parked));
    }
}
