//! What waits, what is set aside, and who is at work: whether or not a daemon runs.

use std::path::Path;

use clap::Args;
use levi::{Clock as _, Inspector, ListedRow, RowId, SystemClock, Totals};
use serde::Serialize;

use crate::args::DataArgs;
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::home::{self, Home};
use crate::owner;
use crate::text::{bytes, plural, seconds};

/// Rows looked at for reasons; a backlog has few reasons and many rows.
const LOOKED_AT: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Serialize)]
struct Status {
    data_dir: String,
    project: Option<String>,
    user_id: Option<String>,
    signed_in: bool,
    device_id: Option<String>,
    /// Whether a daemon or another `levi` is at work; `null` where it cannot be told.
    daemon_running: Option<bool>,
    outbox: Option<OutboxStatus>,
}

#[derive(Debug, Serialize)]
struct OutboxStatus {
    pending: u64,
    pending_bytes: u64,
    parked: u64,
    sessions_waiting: u64,
    /// Rows of repositories, sessions and secrets that wait to be sent.
    control_rows: u64,
    /// The same rows, as far as they are parked.
    parked_control_rows: u64,
    oldest_age_seconds: Option<f64>,
    waiting_for: Vec<ReasonCount>,
    set_aside_for: Vec<ReasonCount>,
}

/// Why rows wait, and how many of those looked at.
#[derive(Debug, Serialize)]
struct ReasonCount {
    code: String,
    detail: String,
    rows: u64,
    attempts: u32,
    /// Until the earliest of them is tried again.
    due_in_seconds: Option<f64>,
}

pub(crate) fn run(args: &StatusArgs, console: Console) -> Result<Exit, CliError> {
    let folder = home::folder(args.data.data_dir.as_deref());
    let status = look(&folder)?;
    console.json(&status)?;
    for line in lines(&status) {
        console.say(line)?;
    }
    let waits = status.outbox.as_ref().is_some_and(|outbox| {
        outbox.pending > 0 || outbox.parked > 0 || outbox.control_rows > 0 || outbox.parked_control_rows > 0
    });
    Ok(if waits { Exit::Remaining } else { Exit::Done })
}

fn look(folder: &Path) -> Result<Status, CliError> {
    let project = home::project(folder)?;
    let (mut signed_in, mut device_id) = (false, None);
    if home::credentials_path(folder).exists() {
        let home = Home::open(folder.to_owned())?;
        signed_in = home.has_sign_in()?;
        device_id = home.device_id()?.map(|id| id.to_string());
    }
    let outbox = home::outbox_path(folder);
    Ok(Status {
        data_dir: folder.display().to_string(),
        user_id: project.as_ref().map(|project| project.user_id.to_string()),
        project: project.map(|project| project.url),
        signed_in,
        device_id,
        daemon_running: owner::is_owned(&outbox),
        outbox: outbox.exists().then(|| look_into(&outbox)).transpose()?,
    })
}

fn look_into(path: &Path) -> Result<OutboxStatus, CliError> {
    let inspector = Inspector::open(path)?;
    let totals = inspector.totals()?;
    let Totals { pending_rows, pending_bytes, parked_rows, lanes, oldest, .. } = totals;
    let now = SystemClock::new().now().wall;
    let rows = inspector.list(None::<RowId>, LOOKED_AT)?;
    let (parked, waiting): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.parked);
    Ok(OutboxStatus {
        pending: pending_rows,
        pending_bytes,
        parked: parked_rows,
        sessions_waiting: lanes,
        control_rows: totals.control_rows,
        parked_control_rows: totals.parked_control_rows,
        oldest_age_seconds: oldest.map(|oldest| now.since(oldest).as_secs_f64()),
        waiting_for: reasons(&waiting, now),
        set_aside_for: reasons(&parked, now),
    })
}

fn reasons(rows: &[ListedRow], now: levi::Wall) -> Vec<ReasonCount> {
    let mut reasons: Vec<ReasonCount> = Vec::new();
    for row in rows {
        let Some(reason) = &row.reason else { continue };
        let due = row.due_at.map(|due| due.since(now).as_secs_f64());
        match reasons.iter_mut().find(|known| known.code == reason.code && known.detail == reason.detail) {
            Some(known) => {
                known.rows += 1;
                known.attempts = known.attempts.max(row.attempts);
                known.due_in_seconds = match (known.due_in_seconds, due) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            None => reasons.push(ReasonCount {
                code: reason.code.clone(),
                detail: reason.detail.clone(),
                rows: 1,
                attempts: row.attempts,
                due_in_seconds: due,
            }),
        }
    }
    reasons
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = vec![format!("data folder   {}", status.data_dir)];
    lines.push(match (&status.project, &status.user_id, status.signed_in) {
        (Some(project), Some(user), true) => format!("signed in     to {project} as {user}"),
        (Some(project), _, _) => format!("signed out    of {project}; run `levi login`"),
        (None, ..) => "signed out    run `levi login`".to_owned(),
    });
    if let Some(device) = &status.device_id {
        lines.push(format!("device        {device}"));
    }
    lines.push(match status.daemon_running {
        Some(true) => "at work       yes: a daemon or another `levi` has the outbox".to_owned(),
        Some(false) => "at work       no: nobody sends; start the daemon, or run `levi sync`".to_owned(),
        None => "at work       cannot be told; check the permissions of the data folder".to_owned(),
    });
    let Some(outbox) = &status.outbox else {
        lines.push("outbox        none yet".to_owned());
        return lines;
    };
    lines.push(format!(
        "waiting       {} in {}, {}{}",
        plural(outbox.pending, "message"),
        plural(outbox.sessions_waiting, "session"),
        bytes(outbox.pending_bytes),
        outbox
            .oldest_age_seconds
            .map_or_else(String::new, |age| format!(", the oldest for {}", seconds(age)))
    ));
    for reason in &outbox.waiting_for {
        let next =
            reason.due_in_seconds.map_or_else(String::new, |due| format!(", next in {}", seconds(due)));
        let attempts = plural(u64::from(reason.attempts), "attempt");
        lines.push(format!("              {} ({}): {attempts}{next}", reason.code, reason.detail));
    }
    if outbox.control_rows > 0 {
        let rows = plural(outbox.control_rows, "session row");
        lines.push(format!("besides       {rows} to send first or beside"));
    }
    let parked = match outbox.parked_control_rows {
        0 => String::new(),
        rows => format!(" and {}", plural(rows, "session row")),
    };
    lines.push(format!("set aside     {}{parked}", plural(outbox.parked, "message")));
    for reason in &outbox.set_aside_for {
        lines.push(format!("              {} x {} ({})", reason.rows, reason.code, reason.detail));
    }
    if outbox.parked > 0 || outbox.parked_control_rows > 0 {
        lines.push("              see `levi outbox list --parked`".to_owned());
    }
    lines
}
