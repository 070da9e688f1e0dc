//! The signed device list: what this device remembers of it, and what the server shows.

use levi::types::CredentialName;
use levi::{DeviceFolder, DeviceListState};

use super::Findings;
use crate::connection::Connection;
use crate::devices::{LIMIT, Mode, StoredMode};
use crate::error::CliError;

const CHECK: &str = "device list";

/// What this device remembers.
pub(super) fn check_stored(folder: &DeviceFolder, findings: &mut Findings) -> Result<(), CliError> {
    // What keeps the project from being read is named already.
    let Ok(Some(project)) = folder.project() else { return Ok(()) };
    match StoredMode::read(folder, &project.user_id) {
        Ok(Some(mode)) => say(&mode, findings),
        Ok(None) => {
            findings.said_of_list = Some(LIMIT.to_owned());
            findings.note(CHECK, LIMIT, "run `levi init` on the first device")
        }
        // A key that cannot be used is named already.
        Err(CliError::Credentials(_)) => Ok(()),
        Err(error) => findings.problem(CHECK, error.to_string(), "fix this first"),
    }
}

/// What the server shows.
pub(super) async fn check_shown(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    match shown(connection).await {
        Ok(Some(Shown { state, spoiled })) => {
            say(&StoredMode::of(&state), findings)?;
            if spoiled.is_empty() {
                return Ok(());
            }
            let what =
                format!("somebody has overwritten the keyrings on the server of {}", spoiled.join(", "));
            findings.problem(CHECK, what, "run `levi verify`, which writes them again; then end all sign-ins")
        }
        // The missing key is named already.
        Ok(None) => Ok(()),
        Err(error) => findings.note(CHECK, error.to_string(), "fix what is named above, then run this again"),
    }
}

/// What the server shows.
struct Shown {
    state: DeviceListState,
    /// The names of members whose keyrings are not what the devices write.
    spoiled: Vec<String>,
}

async fn shown(connection: &Connection) -> Result<Option<Shown>, CliError> {
    let key = connection.data_dir.credentials().load(&CredentialName::DatabaseKey)?;
    if key.is_none() && connection.data_dir.store_path().exists() {
        // A new key would be made, which opens nothing that is there.
        return Ok(None);
    }
    let levi = connection.quiet_levi()?;
    let admin = levi.device_list()?;
    let state = admin.state().await?;
    Ok(Some(Shown { state, spoiled: admin.spoiled_keyrings().await? }))
}

/// Says it once, where the server shows what this device remembers.
fn say(mode: &StoredMode, findings: &mut Findings) -> Result<(), CliError> {
    let what = if mode.mode == Mode::DeviceTable { LIMIT } else { &mode.detail };
    if findings.said_of_list.replace(what.to_owned()).as_deref() == Some(what) {
        return Ok(());
    }
    match mode.mode {
        Mode::Listed => findings.ok(CHECK, &mode.detail),
        Mode::DeviceTable => findings.note(CHECK, &mode.detail, "run `levi init` on the first device"),
        Mode::Stopped => {
            findings.list_stopped = true;
            findings.problem(CHECK, &mode.detail, "see docs/trust.md, \"What to do\"")
        }
    }
}
