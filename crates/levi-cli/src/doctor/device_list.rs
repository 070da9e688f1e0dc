//! The signed device list: what this device remembers of it, and what the server shows.

use std::path::Path;

use super::Findings;
use crate::connection::Connection;
use crate::data_dir;
use crate::devices::{LIMIT, Mode, StoredMode};
use crate::error::CliError;

const CHECK: &str = "device list";

/// What this device remembers.
pub(super) fn check_stored(path: &Path, findings: &mut Findings) -> Result<(), CliError> {
    // What keeps the project from being read is named already.
    let Ok(Some(project)) = data_dir::project(path) else { return Ok(()) };
    match StoredMode::read(path, &project.user_id) {
        Ok(Some(mode)) => say(&mode, findings),
        Ok(None) => findings.note(CHECK, LIMIT, "run `levi init` on the first device"),
        Err(error) => findings.problem(CHECK, error.to_string(), "fix this first"),
    }
}

/// What the server shows.
pub(super) async fn check_shown(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    let levi = connection.quiet_levi()?;
    match levi.device_list()?.state().await {
        Ok(state) => say(&StoredMode::of(&state), findings),
        Err(error) => findings.note(CHECK, CliError::from(error).to_string(), "run this again later"),
    }
}

fn say(mode: &StoredMode, findings: &mut Findings) -> Result<(), CliError> {
    match mode.mode {
        Mode::Listed => findings.ok(CHECK, &mode.detail),
        Mode::DeviceTable => findings.note(CHECK, &mode.detail, "run `levi init` on the first device"),
        Mode::Stopped => {
            findings.list_stopped = true;
            findings.problem(CHECK, &mode.detail, "see docs/trust.md, \"What to do\"")
        }
    }
}
