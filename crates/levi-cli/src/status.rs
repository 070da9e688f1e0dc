//! `levi status`: what is pending, what is parked, and whether a process sends it.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use levi::DeviceFolder;
use levi::core::{Conditions, LANES_LOOKED_AT, PauseReason, SystemClock, Waiting, count_waiting};
use levi::outbox::sqlite::Inspector;
use levi::outbox::{Held, ListedRow, RowId, Totals};
use levi::types::Clock as _;
use serde::Serialize;
use serde_json::Value;

use crate::console::{Console, Format};
use crate::devices::{Mode, StoredMode};
use crate::error::CliError;
use crate::exit::Exit;
use crate::options::DataArgs;
use crate::owner;
use crate::screen::Screen;
use crate::stop::{Ending, Stop, output_closed};
use crate::style::{BAD, NOTE, paint};
use crate::text::{bytes, plural, seconds};

/// How many rows are read to find reasons; a backlog has many rows and few reasons.
const SAMPLE: usize = 1000;

/// How often `--watch` looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Show it live on a terminal, and elsewhere again whenever it changes, until stopped.
    #[arg(long)]
    watch: bool,
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

pub(crate) async fn run(args: &StatusArgs, console: Console) -> Result<Exit, CliError> {
    if args.watch {
        return watch(&args.data.folder(), console).await;
    }
    let status = read(&args.data.folder())?;
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

/// Looks once a second until it is stopped. A terminal shows one screen, whose times go on; elsewhere
/// a status is printed when more than the time has changed.
async fn watch(folder: &DeviceFolder, console: Console) -> Result<Exit, CliError> {
    let mut stop = Stop::listen(Ending::AtOnce)?;
    let mut closed = pin!(output_closed());
    let screen = if console.format == Format::Text && io::stdout().is_terminal() {
        Some(Screen::open()?)
    } else {
        None
    };
    let mut shown = None;
    loop {
        let status = read(folder)?;
        match &screen {
            Some(screen) => screen.show(&lines(&status))?,
            None => {
                let timeless = Some(timeless(&status)?);
                if timeless != shown {
                    console.json(&status)?;
                    console.say(lines(&status).join("\n"))?;
                    shown = timeless;
                }
            }
        }
        tokio::select! {
            signal = stop.requested() => return Ok(signal.into()),
            () = &mut closed => return Ok(Exit::Done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// A status without what changes with every look.
fn timeless(status: &Status) -> Result<Value, CliError> {
    let mut value = serde_json::to_value(status).map_err(|error| CliError::Output(error.into()))?;
    for (object, field) in [("/sign_in_wait", "next_try_in_seconds"), ("/outbox", "oldest_age_seconds")] {
        if let Some(object) = value.pointer_mut(object).and_then(Value::as_object_mut) {
            object.remove(field);
        }
    }
    Ok(value)
}

fn read(folder: &DeviceFolder) -> Result<Status, CliError> {
    let (project, signed_in) = (folder.project()?, folder.has_sign_in()?);
    let outbox = folder.outbox_path();
    let device_list =
        project.as_ref().map(|project| StoredMode::read(folder, &project.user_id)).transpose()?.flatten();
    Ok(Status {
        data_dir: folder.path().display().to_string(),
        user_id: project.as_ref().map(|project| project.user_id.to_string()),
        project: project.map(|project| project.url),
        signed_in,
        sign_in_wait: folder
            .sign_in_wait()?
            .map(|wait| SignInWait { code: wait.code, next_try_in_seconds: wait.left.as_secs_f64() }),
        device_id: folder.device_id()?.map(|id| id.to_string()),
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
    fn from(Held { user_id, pending, parked, .. }: Held) -> Self {
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
        (Some(project), _, _) => {
            format!("{}      of {project}; run `levi login`", paint(NOTE, "signed out"))
        }
        (None, ..) => format!("{}      run `levi login`", paint(NOTE, "signed out")),
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
            lines.push(format!("device list     {}: {detail}", paint(BAD, "STOPPED")))
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
    let parked = rows(outbox.parked, outbox.parked_control_rows);
    let anything = outbox.parked + outbox.parked_control_rows > 0;
    lines.push(format!("parked          {}", if anything { paint(BAD, parked) } else { parked }));
    for reason in &outbox.parked_for {
        lines.push(format!("                {} x {} ({})", reason.rows, reason.code, reason.detail));
    }
    if anything {
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
