//! A device that came later reads what was written before.

use clap::Args;
use levi::DeviceId;
use serde::Serialize;

use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;
use crate::text::plural;

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    data: DataArgs,
    /// The other device, as `levi status` names it there.
    #[arg(value_name = "DEVICE")]
    device: String,
}

#[derive(Serialize)]
struct Shared {
    shared: u64,
    unreadable: u64,
}

pub(crate) async fn run(args: ShareArgs, console: Console) -> Result<Exit, CliError> {
    let device = canonical_uuid(&args.device).ok_or(CliError::NotAUuid { what: "DEVICE" })?;
    let connection = Connection::open(&args.project, &args.data).await?;
    let (levi, _) = connection.levi()?;
    let service = levi.session_sync(connection.device_id.clone(), connection.home.private_key()?)?;
    let welcome = service.share_with_device(&DeviceId::from(device)).await?;
    for (session, why) in &welcome.unreadable {
        let session_id = Some(session.as_str());
        let error = why.clone();
        console.complain(&Complaint { line: None, session_id, sequence_number: None, error });
    }
    let (shared, unreadable) = (welcome.shared.len() as u64, welcome.unreadable.len() as u64);
    console.json(&Shared { shared, unreadable })?;
    console.say(format!("{} can be read there now", plural(shared, "session")))?;
    Ok(if unreadable > 0 { Exit::BadInput } else { Exit::Done })
}
