//! This device: its data folder, keys, sign-in and outbox.

use std::path::Path;

use levi::{
    CredentialName, Credentials as _, DatabaseKey, DevicePrivateKey, FileCredentials, Inspector, OutboxError,
    Reason,
};

use super::Findings;
use crate::error::CliError;
use crate::home;
use crate::owner;
use crate::text::plural;

const LOG_IN: &str = "run `levi login`";
/// Rows looked at for reasons.
const LOOKED_AT: usize = 1000;

pub(super) fn check(folder: &Path, findings: &mut Findings) -> Result<(), CliError> {
    if !folder.is_dir() {
        let detail = format!("there is none at {}", folder.display());
        return findings.problem(
            "data folder",
            detail,
            "run `levi login`, which makes it, or name it with --data-dir",
        );
    }
    data_folder(folder, findings)?;
    credentials(folder, findings)?;
    outbox(&home::outbox_path(folder), findings)
}

fn data_folder(folder: &Path, findings: &mut Findings) -> Result<(), CliError> {
    match open_to_others(folder) {
        Some(true) => findings.note(
            "data folder",
            format!("{} can be looked into by other users", folder.display()),
            "what lies in it is encrypted or private by itself; run `chmod 700` on it to hide it too",
        )?,
        _ => findings.ok("data folder", folder.display().to_string())?,
    }
    match home::project(folder) {
        Ok(Some(project)) => findings.ok("project", project.url),
        Ok(None) => findings.problem("project", "none was ever signed in to", LOG_IN),
        Err(error) => findings.problem("project", error.to_string(), LOG_IN),
    }
}

#[cfg(unix)]
fn open_to_others(folder: &Path) -> Option<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(std::fs::metadata(folder).ok()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<bool> {
    None
}

fn credentials(folder: &Path, findings: &mut Findings) -> Result<(), CliError> {
    let path = home::credentials_path(folder);
    if !path.exists() {
        return findings.problem("sign-in", "there is none", LOG_IN);
    }
    let credentials = match FileCredentials::open(path) {
        Ok(credentials) => credentials,
        Err(error) => return findings.problem("sign-in", error.to_string(), "put that right first"),
    };
    let restore = "restore the data folder from a backup; a new key cannot read what the old one wrapped";
    let names = [
        ("sign-in", CredentialName::SignIn, LOG_IN),
        ("device id", CredentialName::DeviceId, LOG_IN),
        ("device key", CredentialName::DevicePrivateKey, LOG_IN),
        ("database key", CredentialName::DatabaseKey, "nothing was synced yet, or restore it from a backup"),
    ];
    for (check, name, advice) in names {
        match credentials.load(&name) {
            Ok(Some(secret)) if usable(&name, secret.expose()) => findings.ok(check, "is there")?,
            Ok(Some(_)) => findings.problem(check, "is damaged", restore)?,
            Ok(None) if name == CredentialName::DatabaseKey && !home::store_path(folder).exists() => {
                findings.ok(check, "none yet; made with the first session")?;
            }
            Ok(None) => findings.problem(check, "is missing", advice)?,
            Err(error) => findings.problem(check, error.to_string(), "put that right first")?,
        }
    }
    Ok(())
}

/// Exposed to be parsed only.
fn usable(name: &CredentialName, secret: &str) -> bool {
    match name {
        CredentialName::DevicePrivateKey => DevicePrivateKey::from_base64(secret).is_ok(),
        CredentialName::DatabaseKey => DatabaseKey::from_base64(secret).is_ok(),
        CredentialName::SignIn => serde_json::from_str::<serde_json::Value>(secret).is_ok(),
        _ => !secret.is_empty(),
    }
}

fn outbox(path: &Path, findings: &mut Findings) -> Result<(), CliError> {
    match owner::is_owned(path) {
        Some(true) => findings.ok("at work", "a daemon or another `levi` has the outbox")?,
        Some(false) => findings.note("at work", "nobody", "start the daemon, or run `levi sync`")?,
        None => {
            findings.problem("at work", "the lock cannot be looked at", "check the folder's permissions")?
        }
    }
    if !path.exists() {
        return findings.ok("outbox", "none yet; made with the first message");
    }
    let inspector = match Inspector::open(path) {
        Ok(inspector) => inspector,
        Err(error) => return unreadable(&error, findings),
    };
    let problems = match inspector.problems() {
        Ok(problems) => problems,
        Err(error) => return unreadable(&error, findings),
    };
    for problem in &problems {
        let advice = "stop the daemon, keep a copy of the file, and report it; `levi outbox export` saves what can be read";
        findings.problem("outbox", problem.clone(), advice)?;
    }
    if problems.is_empty() {
        findings.ok("outbox", "sound")?;
    }
    backlog(&inspector, findings)
}

fn unreadable(error: &OutboxError, findings: &mut Findings) -> Result<(), CliError> {
    let advice = match error {
        OutboxError::Corrupt(_) => {
            "start the daemon, or run `levi sync`; the damaged file is kept beside the new one"
        }
        _ => "put that right first",
    };
    findings.problem("outbox", describe(error), advice)
}

fn describe(error: &OutboxError) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
    format!("{error}{cause}")
}

fn backlog(inspector: &Inspector, findings: &mut Findings) -> Result<(), CliError> {
    let totals = inspector.totals()?;
    let rows = inspector.list(None, LOOKED_AT)?;
    let reason = |parked: bool| -> Option<Reason> {
        rows.iter()
            .find(|row| row.parked == parked && row.reason.is_some())
            .and_then(|row| row.reason.clone())
    };
    let waiting = plural(totals.pending_rows, "message");
    match reason(false) {
        Some(Reason { code, detail }) => {
            let detail = format!("{waiting}; the server's last refusal: {code} ({detail})");
            findings.note(
                "waiting",
                detail,
                "run `levi doctor --server`; what waits is tried again by itself",
            )?;
        }
        None => findings.ok("waiting", waiting)?,
    }
    let advice =
        "see `levi outbox list --parked`; put right what it names, then `levi outbox retry`, or discard";
    if totals.parked_rows + totals.parked_control_rows == 0 {
        return findings.ok("set aside", "nothing");
    }
    for row in rows.iter().filter(|row| row.parked && row.kind.is_control()) {
        let why =
            row.reason.as_ref().map_or_else(String::new, |r| format!(", for {} ({})", r.code, r.detail));
        findings.problem("set aside", format!("{}{why}", row.lane), advice)?;
    }
    if totals.parked_rows == 0 {
        return Ok(());
    }
    let example =
        reason(true).map_or_else(String::new, |r| format!(", such as for {} ({})", r.code, r.detail));
    findings.problem("set aside", format!("{}{example}", plural(totals.parked_rows, "message")), advice)
}
