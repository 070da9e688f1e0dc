//! `levi share`: gives a device that was registered later the secrets of earlier sessions.

use clap::{ArgGroup, Args};
use levi::{BackfillReport, DeviceId, SyncError};
use serde::Serialize;

use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;
use crate::notices::Notices;
use crate::text::plural;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("with").args(["device", "all"]).required(true)))]
pub(crate) struct ShareArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The other device: its name, or its id, which `levi status` shows on that device.
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    /// Every other device that can receive secrets.
    #[arg(long)]
    all: bool,
}

/// What became of a device's sessions.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Shared {
    pub(crate) shared: u64,
    pub(crate) unreadable: u64,
}

impl Shared {
    pub(crate) const fn exit(self) -> Exit {
        if self.unreadable > 0 { Exit::BadInput } else { Exit::Done }
    }
}

#[derive(Serialize)]
struct SharedWith<'a> {
    device_id: &'a str,
    #[serde(flatten)]
    shared: Shared,
}

/// Names each session that was not shared, and counts.
pub(crate) fn report(console: Console, report: &BackfillReport) -> Shared {
    for (session, why) in &report.unreadable {
        let session_id = Some(session.as_str());
        console.report(&Diagnostic { session_id, ..Diagnostic::new(why) });
    }
    Shared { shared: report.shared.len() as u64, unreadable: report.unreadable.len() as u64 }
}

pub(crate) async fn run(args: ShareArgs, console: Console) -> Result<Exit, CliError> {
    let connection = Connection::open(&args.project, &args.data).await?;
    let devices = match args.device {
        Some(device) => vec![one(&connection, device).await?],
        None => every_other(&connection).await?,
    };
    let levi = connection.levi(&Notices::new(console))?;
    let service = connection.device.session_sync(&levi)?;
    let (mut exit, mut any) = (Exit::Done, false);
    for device in devices {
        let report = service.share_with_device(&device).await.map_err(|error| match error {
            // About the other device: this one has an identity, or there would be no connection.
            SyncError::NoDeviceIdentity => CliError::UnknownDevice { device: device.clone() },
            other => other.into(),
        })?;
        let shared = self::report(console, &report);
        exit = exit.max(shared.exit());
        console.json(&SharedWith { device_id: device.as_str(), shared })?;
        console.say(format!("{} shared with device {device}", plural(shared.shared, "session")))?;
        any |= shared.shared > 0;
    }
    if any {
        console
            .hint("next: `levi pull` there prints their messages, `levi pull --follow` those that come, too");
    }
    Ok(exit)
}

/// The device with this id or name.
async fn one(connection: &Connection, device: String) -> Result<DeviceId, CliError> {
    if let Some(id) = canonical_uuid(&device) {
        return Ok(id.into());
    }
    let devices = connection.device.devices().await?;
    let mut named = devices.into_iter().filter(|other| other.name == device && !other.is_this_device);
    match (named.next(), named.next()) {
        (Some(found), None) => Ok(found.id),
        (Some(_), Some(_)) => Err(CliError::Usage("several devices have that name; give the id of one")),
        (None, _) => Err(CliError::UnknownDeviceName { name: device }),
    }
}

async fn every_other(connection: &Connection) -> Result<Vec<DeviceId>, CliError> {
    let devices = connection.device.devices().await?.into_iter();
    let others = devices.filter(|device| !device.is_this_device && device.receives_secrets);
    Ok(others.map(|device| device.id).collect())
}
