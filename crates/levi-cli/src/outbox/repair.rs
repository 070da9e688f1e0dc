//! `levi outbox repair`: the outbox, and the session store beside it.

use levi::outbox::RecoveryReport;
use levi::outbox::sqlite::{SqliteOutbox, is_owned};
use levi::store::RepairedStore;
use serde::Serialize;

use super::{RepairArgs, outbox_path};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;

#[derive(Serialize)]
struct Repaired<'a> {
    damaged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_store: Option<StoreReport<'a>>,
}

#[derive(Serialize)]
struct StoreReport<'a> {
    cause: &'a str,
    quarantined: String,
    repositories: u64,
    sessions: u64,
    secrets: u64,
    uncertain: u64,
    lost: u64,
}

impl<'a> StoreReport<'a> {
    fn new(report: &'a RepairedStore) -> Self {
        Self {
            cause: &report.cause,
            quarantined: report.quarantined.display().to_string(),
            repositories: report.repositories,
            sessions: report.sessions,
            secrets: report.secrets,
            uncertain: report.uncertain,
            lost: report.lost,
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    cause: &'a str,
    quarantined: String,
    pending: u64,
    parked: u64,
    control_rows: u64,
    uncertain: u64,
    lost: Option<u64>,
}

impl<'a> Report<'a> {
    fn new(report: &'a RecoveryReport) -> Self {
        Self {
            cause: &report.cause,
            quarantined: report.quarantined.display().to_string(),
            pending: report.rows,
            parked: report.parked,
            control_rows: report.control_rows,
            uncertain: report.uncertain,
            lost: report.lost,
        }
    }
}

pub(super) fn run(args: &RepairArgs, console: Console) -> Result<Exit, CliError> {
    let folder = args.data.folder();
    let outbox = folder.outbox_path();
    // A process that owns the outbox has the store open, too.
    if is_owned(&outbox).unwrap_or(true) {
        return Err(CliError::Owned { path: outbox });
    }
    // Nothing but the store may be there.
    let has_outbox = outbox.exists() || !folder.store_path().exists();
    let report = if has_outbox { SqliteOutbox::repair(outbox_path(&args.data)?)? } else { None };
    let repaired = folder.repair_session_store();
    let store = repaired.as_ref().ok().and_then(Option::as_ref);
    console.json(&Repaired {
        damaged: report.is_some() || store.is_some(),
        report: report.as_ref().map(Report::new),
        session_store: store.map(StoreReport::new),
    })?;
    match report {
        Some(report) => console.say(report.to_string())?,
        None => console.say("the rows of the outbox are sound")?,
    }
    if let Some(store) = store {
        console.say(store.to_string())?;
    }
    repaired?;
    Ok(Exit::Done)
}
