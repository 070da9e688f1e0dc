//! `levi sessions`: the sessions of the user on all devices, and which of them can be read here.

use std::collections::HashMap;

use clap::Args;
use levi::DeviceId;
use levi::core::Access;
use levi::core::SessionSummary;
use serde::Serialize;

use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::notices::answered;
use crate::options::{DataArgs, ProjectArgs};
use crate::style::{GOOD, NOTE, paint};
use crate::text::printable;

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Serialize)]
struct Listed<'a> {
    session_id: &'a str,
    title: Option<&'a str>,
    status: &'a str,
    repository_id: &'a str,
    repository: Option<&'a str>,
    device_id: &'a str,
    device: Option<&'a str>,
    /// When the owner last synced it, as the server writes it.
    last_activity: Option<&'a str>,
    /// Whether this device can read it.
    readable: bool,
}

/// Lists the sessions, the one that was active last first.
pub(crate) async fn run(args: SessionsArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let devices: HashMap<DeviceId, String> = answered(console, connection.device.devices())
        .await?
        .into_iter()
        .flatten()
        .map(|device| (device.id, device.name))
        .collect();
    let mut sessions = Vec::new();
    let mut exit = Exit::Done;
    for session in answered(console, connection.device.sessions()).await? {
        match session {
            Ok(session) => sessions.push(session),
            Err(error) => {
                exit = Exit::BadInput;
                let session_id = Some(error.session_id.as_str());
                console.report(&Diagnostic { session_id, ..Diagnostic::new(error.error.to_string()) });
            }
        }
    }
    sessions.sort_by(|one, other| other.last_activity.cmp(&one.last_activity));
    if !sessions.is_empty() {
        console.say(heading())?;
    }
    for session in &sessions {
        let device = devices.get(&session.device_id).map(String::as_str);
        console.json(&listed(session, device))?;
        console.say(line(session, device))?;
    }
    if sessions.is_empty() {
        console.say("no sessions yet; `levi sync FILE` makes one")?;
    }
    if sessions.iter().any(|session| session.access == Access::NotShared) {
        let here = &connection.device_id;
        console
            .hint(format!("to read the others here, run `levi share {here}` on a device that can read them"));
    }
    Ok(exit)
}

fn listed<'a>(session: &'a SessionSummary, device: Option<&'a str>) -> Listed<'a> {
    Listed {
        session_id: session.id.as_str(),
        title: session.title.as_deref(),
        status: session.status.as_str(),
        repository_id: session.repository_id.as_str(),
        repository: session.repository_name.as_deref(),
        device_id: session.device_id.as_str(),
        device,
        last_activity: session.last_activity.as_deref(),
        readable: session.access != Access::NotShared,
    }
}

fn heading() -> String {
    format!(
        "{:<36}  {:<19}  {:<7} {:<15}  device: repository: title",
        "session", "last activity", "status", "here"
    )
}

fn line(session: &SessionSummary, device: Option<&str>) -> String {
    let shared = session.access != Access::NotShared;
    let readable = paint(
        if shared { GOOD } else { NOTE },
        format!("{:<15}", if shared { "readable" } else { "not shared here" }),
    );
    let activity = session.last_activity.as_deref().unwrap_or("-");
    // To the second.
    let activity = printable(activity.get(..19).unwrap_or(activity));
    let status = session.status.as_str();
    let place = printable(session.repository_name.as_deref().unwrap_or("-"));
    let device = printable(device.unwrap_or(session.device_id.as_str()));
    let title = printable(session.title.as_deref().unwrap_or("-"));
    format!("{}  {activity}  {status:<7} {readable}  {device}: {place}: {title}", session.id)
}
