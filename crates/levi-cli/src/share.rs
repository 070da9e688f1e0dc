//! `levi share`: gives a device that was registered later the secrets of earlier sessions.

use clap::Args;
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
pub(crate) struct ShareArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The other device's id, which `levi status` shows on that device.
    #[arg(value_name = "DEVICE")]
    device: String,
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

/// Names each session that was not shared, and counts.
pub(crate) fn report(console: Console, report: &BackfillReport) -> Shared {
    for (session, why) in &report.unreadable {
        let session_id = Some(session.as_str());
        console.report(&Diagnostic { session_id, ..Diagnostic::new(why) });
    }
    Shared { shared: report.shared.len() as u64, unreadable: report.unreadable.len() as u64 }
}

pub(crate) async fn run(args: ShareArgs, console: Console) -> Result<Exit, CliError> {
    let device = canonical_uuid(&args.device).ok_or(CliError::NotAUuid { what: "DEVICE" })?;
    let connection = Connection::open(&args.project, &args.data).await?;
    let levi = connection.levi(connection.session_store()?, &Notices::new(console))?;
    let service = levi.session_sync(connection.device_id.clone(), connection.data_dir.private_key()?)?;
    let device = DeviceId::from(device);
    let report = service.share_with_device(&device).await.map_err(|error| match error {
        // About the other device: this one has an identity, or there would be no connection.
        SyncError::NoDeviceIdentity => CliError::UnknownDevice { device: device.clone() },
        other => other.into(),
    })?;
    let shared = self::report(console, &report);
    console.json(&shared)?;
    console.say(format!("{} shared with device {device}", plural(shared.shared, "session")))?;
    Ok(shared.exit())
}
