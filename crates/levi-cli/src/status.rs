//! `levi status`: what is pending, what is parked, and whether a process sends it.

use std::path::Path;

use clap::Args;
use levi::core::{Conditions, LANES_LOOKED_AT, PauseReason, SystemClock, Waiting, count_waiting};
use levi::outbox::sqlite::Inspector;
use levi::outbox::{Held, ListedRow, RowId, Totals};
use levi::types::Clock as _;
use serde::Serialize;

use crate::args::DataArgs;
use crate::console::Console;
use crate::data_dir::{self, DataDir};
use crate::devices::{Mode, StoredMode};
use crate::error::CliError;
use crate::exit::Exit;
use crate::owner;
use crate::text::{bytes, plural, seconds};

/// How many rows are read to find reasons; a backlog has many rows and few reasons.
const SAMPLE: usize = 1000;

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
    /// A wait that the sign-in server asked for.
    sign_in_wait: Option<SignInWait>,
    device_id: Option<String>,
    /// `null` before the first session.
    device_list: Option<StoredMode>,
    /// Whether a daemon or another `levi` process owns the outbox; `null` if the lock file cannot
    /// be read.
    daemon_running: Option<bool>,
    outbox: Option<OutboxStatus>,
}

#[derive(Debug, Serialize)]
struct SignInWait {
    code: String,
    next_try_in_seconds: f64,
}

#[derive(Debug, Serialize)]
struct OutboxStatus {
    pending: u64,
    pending_bytes: u64,
    parked: u64,
    /// Queues with pending rows: one for each session's messages, and one for each control row.
    lanes: u64,
    /// Pending rows of repositories, sessions and secrets.
    control_rows: u64,
    /// Parked rows of repositories, sessions and secrets.
    parked_control_rows: u64,
    oldest_age_seconds: Option<f64>,
    /// Rows of other users than the one who signed in last; `pending` and `parked` count them too.
    held: Vec<HeldRows>,
    /// Why rows wait, by queue: the reasons of the first 1,000 queues with rows.
    waiting_for: Vec<Waiting>,
    parked_for: Vec<ReasonCount>,
}

#[derive(Debug, Serialize)]
struct HeldRows {
    user_id: Option<String>,
    pending: u64,
    parked: u64,
}

/// A reason, and how many of the sampled parked rows have it.
#[derive(Debug, Serialize)]
struct ReasonCount {
    code: String,
    detail: String,
    rows: u64,
}

pub(crate) fn run(args: &StatusArgs, console: Console) -> Result<Exit, CliError> {
    let status = read(&data_dir::resolve(args.data.data_dir.as_deref()))?;
    console.json(&status)?;
    for line in lines(&status) {
        console.say(line)?;
    }
    let remains = status.outbox.as_ref().is_some_and(|outbox| {
        outbox.pending > 0 || outbox.parked > 0 || outbox.control_rows > 0 || outbox.parked_control_rows > 0
    });
    Ok(match (&status.device_list, remains) {
        (Some(StoredMode { mode: Mode::Stopped, .. }), _) => Exit::DeviceList,
        (_, true) => Exit::Remaining,
        (_, false) => Exit::Done,
    })
}

fn read(path: &Path) -> Result<Status, CliError> {
    let project = data_dir::project(path)?;
    let (mut signed_in, mut sign_in_wait, mut device_id) = (false, None, None);
    if data_dir::credentials_path(path).exists() {
        let data_dir = DataDir::open(path.to_owned())?;
        signed_in = data_dir.has_sign_in()?;
        sign_in_wait = data_dir.sign_in_wait()?;
        device_id = data_dir.device_id()?.map(|id| id.to_string());
    }
    let outbox = data_dir::outbox_path(path);
    let device_list =
        project.as_ref().map(|project| StoredMode::read(path, &project.user_id)).transpose()?.flatten();
    Ok(Status {
        data_dir: path.display().to_string(),
        user_id: project.as_ref().map(|project| project.user_id.to_string()),
        project: project.map(|project| project.url),
        signed_in,
        sign_in_wait: sign_in_wait
            .map(|wait| SignInWait { code: wait.code, next_try_in_seconds: wait.left.as_secs_f64() }),
        device_id,
        device_list,
        daemon_running: owner::is_owned(&outbox),
        outbox: outbox.exists().then(|| read_outbox(&outbox, signed_in)).transpose()?,
    })
}

fn read_outbox(path: &Path, signed_in: bool) -> Result<OutboxStatus, CliError> {
    let inspector = Inspector::open(path)?;
    let totals = inspector.totals()?;
    let Totals { pending_rows, pending_bytes, parked_rows, lanes, oldest, .. } = totals;
    let now = SystemClock::new().now().wall;
    let parked: Vec<_> =
        inspector.list(None::<RowId>, SAMPLE)?.into_iter().filter(|row| row.parked).collect();
    Ok(OutboxStatus {
        pending: pending_rows,
        pending_bytes,
        parked: parked_rows,
        lanes,
        control_rows: totals.control_rows,
        parked_control_rows: totals.parked_control_rows,
        oldest_age_seconds: oldest.map(|oldest| now.since(oldest).as_secs_f64()),
        held: inspector.held()?.into_iter().map(HeldRows::from).collect(),
        waiting_for: waiting(&inspector, signed_in)?,
        parked_for: reasons(&parked),
    })
}

impl From<Held> for HeldRows {
    fn from(Held { user_id, pending, parked }: Held) -> Self {
        Self { user_id: user_id.map(|id| id.to_string()), pending, parked }
    }
}

/// As far as the files say: whether session sync runs is known to the process that owns the outbox.
fn waiting(inspector: &Inspector, signed_in: bool) -> Result<Vec<Waiting>, CliError> {
    let now = SystemClock::new().now().wall;
    let paused = if signed_in {
        let asked = inspector.paused_until()?.filter(|until| *until > now);
        asked.map(|_| PauseReason::RetryAfter { code: "retry_after".to_owned() })
    } else {
        Some(PauseReason::SignedOut)
    };
    let conditions = Conditions { now, paused: paused.as_ref(), session_sync: true, user: None };
    Ok(count_waiting(&inspector.waiting(LANES_LOOKED_AT)?, conditions))
}

fn reasons(rows: &[ListedRow]) -> Vec<ReasonCount> {
    let mut reasons: Vec<ReasonCount> = Vec::new();
    for row in rows {
        let Some(reason) = &row.reason else { continue };
        match reasons.iter_mut().find(|known| known.code == reason.code && known.detail == reason.detail) {
            Some(known) => known.rows += 1,
            None => reasons.push(ReasonCount {
                code: reason.code.clone(),
                detail: reason.detail.clone(),
                rows: 1,
            }),
        }
    }
    reasons
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = vec![format!("data directory  {}", status.data_dir)];
    lines.push(match (&status.project, &status.user_id, status.signed_in) {
        (Some(project), Some(user), true) => format!("signed in       to {project} as {user}"),
        (Some(project), _, _) => format!("signed out      of {project}; run `levi login`"),
        (None, ..) => "signed out      run `levi login`".to_owned(),
    });
    if let Some(SignInWait { code, next_try_in_seconds }) = &status.sign_in_wait {
        let next = seconds(*next_try_in_seconds);
        lines.push(format!("                waiting for the sign-in server ({code}), next try in {next}"));
    }
    if let Some(device) = &status.device_id {
        lines.push(format!("device          {device}"));
    }
    match &status.device_list {
        Some(StoredMode { mode: Mode::Stopped, detail, .. }) => {
            lines.push(format!("device list     STOPPED: {detail}"))
        }
        Some(StoredMode { detail, .. }) => lines.push(format!("device list     {detail}")),
        None => {}
    }
    lines.push(match status.daemon_running {
        Some(true) => "owner           a daemon or another `levi` process".to_owned(),
        Some(false) => "owner           none; start the daemon, or run `levi sync`".to_owned(),
        None => "owner           unknown; check the permissions of the data directory".to_owned(),
    });
    let Some(outbox) = &status.outbox else {
        lines.push("outbox          none yet".to_owned());
        return lines;
    };
    let age = outbox
        .oldest_age_seconds
        .map_or_else(String::new, |age| format!(", the oldest for {}", seconds(age)));
    lines.push(format!(
        "pending         {}, {}{age}",
        rows(outbox.pending, outbox.control_rows),
        bytes(outbox.pending_bytes)
    ));
    for held in &outbox.held {
        let user = held.user_id.as_deref().unwrap_or("nobody known");
        let rows = plural(held.pending + held.parked, "row");
        lines.push(format!("held            {rows} of user {user}, until that user signs in again"));
    }
    let now = SystemClock::new().now().wall;
    for waiting in &outbox.waiting_for {
        let next = waiting.next_attempt.map(|due| due.since(now).as_secs_f64());
        let next = next.map_or_else(String::new, |next| format!(", next in {}", seconds(next)));
        let attempts = plural(u64::from(waiting.attempts), "attempt");
        let (queues, reason) = (plural(waiting.lanes, "queue"), &waiting.reason);
        lines
            .push(format!("                {queues}: {} ({}): {attempts}{next}", reason.code, reason.detail));
    }
    lines.push(format!("parked          {}", rows(outbox.parked, outbox.parked_control_rows)));
    for reason in &outbox.parked_for {
        lines.push(format!("                {} x {} ({})", reason.rows, reason.code, reason.detail));
    }
    if outbox.parked > 0 || outbox.parked_control_rows > 0 {
        lines.push("                see `levi outbox list --parked`".to_owned());
    }
    lines
}

/// Messages, and the rows of their sessions if there are any.
fn rows(messages: u64, control_rows: u64) -> String {
    let messages = plural(messages, "message");
    match control_rows {
        0 => messages,
        rows => format!("{messages} and {}", plural(rows, "session row")),
    }
}
