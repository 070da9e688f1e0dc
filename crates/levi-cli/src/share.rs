//! `levi share`: gives a device that was registered later the secrets of earlier sessions.

use clap::{ArgGroup, Args};
use levi::core::{BackfillReport, DeviceSummary};
use levi::{DeviceId, SyncError};
use serde::Serialize;

use crate::connection::Connection;
use crate::console::{Console, Diagnostic};
use crate::error::{Candidate, CliError};
use crate::exit::Exit;
use crate::ids::canonical_uuid;
use crate::notices::{Notices, answered};
use crate::options::{DataArgs, ProjectArgs};
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
    let levi = connection.levi(&Notices::new(console))?;
    let (mut known, mut exit) = (Vec::new(), Exit::Done);
    for device in answered(console, connection.reader(&levi)?.devices()).await? {
        match device {
            Ok(device) => known.push(device),
            Err(unreadable) => {
                console.report(&Diagnostic::new(unreadable.to_string()));
                exit = Exit::BadInput;
            }
        }
    }
    let devices = match args.device {
        Some(given) => vec![one(known, given)?],
        None => {
            known.into_iter().filter(|device| !device.is_this_device && device.receives_secrets).collect()
        }
    };
    let service = connection.device.session_sync(&levi)?;
    let mut any = false;
    for device in devices.into_iter().map(Candidate::from) {
        let report = service.share_with_device(&device.id).await.map_err(|error| match error {
            // About the other device: this one has an identity, or there would be no connection.
            SyncError::NoDeviceIdentity => CliError::NotAccepted { device: device.clone() },
            other => other.into(),
        })?;
        let shared = self::report(console, &report);
        exit = exit.max(shared.exit());
        console.json(&SharedWith { device_id: device.id.as_str(), shared })?;
        console.say(format!("{} shared with device {device}", plural(shared.shared, "session")))?;
        any |= shared.shared > 0;
    }
    if any {
        console.hint(
            "next: there, `levi pull` prints their messages, and `levi pull --follow` new ones as well",
        );
    }
    Ok(exit)
}

/// The device with this id or name.
fn one(known: Vec<DeviceSummary>, given: String) -> Result<DeviceSummary, CliError> {
    let id = canonical_uuid(&given).map(DeviceId::from);
    let is_meant = |device: &DeviceSummary| match &id {
        Some(id) => device.id == *id,
        None => device.name == given,
    };
    let (mut meant, others): (Vec<_>, Vec<_>) = known.into_iter().partition(is_meant);
    let is_this = meant.iter().any(|device| device.is_this_device);
    meant.retain(|device| !device.is_this_device);
    match (meant.len(), meant.pop()) {
        (1, Some(device)) => Ok(device),
        (_, Some(last)) => {
            meant.push(last);
            let named = meant.into_iter().map(Candidate::from).collect();
            Err(CliError::AmbiguousDevice { name: given, named })
        }
        (_, None) if is_this => Err(CliError::ThisDevice { given }),
        (_, None) => {
            let others = others.into_iter().filter(|device| !device.is_this_device);
            Err(CliError::NoSuchDevice { given, others: others.map(Candidate::from).collect() })
        }
    }
}

impl From<DeviceSummary> for Candidate {
    fn from(device: DeviceSummary) -> Self {
        Self { id: device.id, name: device.name }
    }
}
