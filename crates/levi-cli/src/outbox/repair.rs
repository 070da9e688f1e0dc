//! `levi outbox repair`.

use levi::outbox::RecoveryReport;
use levi::outbox::sqlite::SqliteOutbox;
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
    let report = SqliteOutbox::repair(outbox_path(&args.data)?)?;
    console.json(&Repaired { damaged: report.is_some(), report: report.as_ref().map(Report::new) })?;
    match report {
        Some(report) => console.say(report.to_string())?,
        None => console.say("the rows of the outbox are sound")?,
    }
    Ok(Exit::Done)
}
