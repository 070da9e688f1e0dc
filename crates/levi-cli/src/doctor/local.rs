//! This device: its data directory, keys, sign-in and outbox.

use std::path::Path;

use levi::outbox::sqlite::Inspector;
use levi::outbox::{OutboxError, Reason};
use levi::types::CredentialName;
use levi::{
    Credentials as _, DatabaseKey, DeviceFolder, DevicePrivateKey, FileCredentials, SqliteSessionStore,
};

use super::{Findings, device_list};
use crate::error::CliError;
use crate::owner;
use crate::text::{bytes, plural};

const LOG_IN: &str = "run `levi login`";
/// The log stays shorter unless somebody reads the outbox all the time.
const LOG_BYTES: u64 = 16 << 20;
/// How many rows are read to find reasons.
const SAMPLE: usize = 1000;

pub(super) fn check(folder: &DeviceFolder, findings: &mut Findings) -> Result<(), CliError> {
    let path = folder.path();
    if !path.is_dir() {
        let detail = format!("{} does not exist", path.display());
        return findings.problem(
            "data directory",
            detail,
            "run `levi login`, or name another one with --data-dir",
        );
    }
    directory(folder, findings)?;
    credentials(folder, findings)?;
    // What is read from a damaged store fails on the way, so this comes first.
    if session_store(folder, findings)? {
        device_list::check_stored(folder, findings)?;
    }
    outbox(&folder.outbox_path(), findings)
}

fn directory(folder: &DeviceFolder, findings: &mut Findings) -> Result<(), CliError> {
    let path = folder.path();
    if is_accessible_to_others(path) {
        findings.note(
            "data directory",
            format!("other users can list {}", path.display()),
            "the files in it are encrypted or private; run `chmod 700` on it to hide their names, too",
        )?;
    } else {
        findings.ok("data directory", path.display().to_string())?;
    }
    match folder.project() {
        Ok(Some(project)) => findings.ok("project", project.url),
        Ok(None) => findings.problem("project", "this device was never signed in to one", LOG_IN),
        Err(error) => findings.problem("project", error.to_string(), LOG_IN),
    }
}

#[cfg(unix)]
fn is_accessible_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_accessible_to_others(_: &Path) -> bool {
    false
}

fn credentials(folder: &DeviceFolder, findings: &mut Findings) -> Result<(), CliError> {
    let path = folder.credentials_path();
    if !path.exists() {
        return findings.problem("sign-in", "none is stored", LOG_IN);
    }
    let credentials = match FileCredentials::open(path) {
        Ok(credentials) => credentials,
        Err(error) => return findings.problem("sign-in", error.to_string(), "fix this first"),
    };
    let restore =
        "restore the data directory from a backup; a new key cannot decrypt what the old one encrypted";
    let names = [
        ("sign-in", CredentialName::SignIn, LOG_IN),
        ("device id", CredentialName::DeviceId, LOG_IN),
        ("device key", CredentialName::DevicePrivateKey, LOG_IN),
        ("database key", CredentialName::DatabaseKey, "restore the data directory from a backup"),
    ];
    for (check, name, advice) in names {
        match credentials.load(&name) {
            Ok(Some(secret)) if usable(&name, secret.expose()) => findings.ok(check, "is stored")?,
            Ok(Some(_)) => findings.problem(check, "is damaged", restore)?,
            Ok(None) if name == CredentialName::DatabaseKey && !folder.store_path().exists() => {
                findings.ok(check, "none yet; the first session creates it")?;
            }
            Ok(None) => findings.problem(check, "is missing", advice)?,
            Err(error) => findings.problem(check, error.to_string(), "fix this first")?,
        }
    }
    Ok(())
}

/// Whether a stored credential can be parsed.
fn usable(name: &CredentialName, secret: &str) -> bool {
    match name {
        CredentialName::DevicePrivateKey => DevicePrivateKey::from_base64(secret).is_ok(),
        CredentialName::DatabaseKey => DatabaseKey::from_base64(secret).is_ok(),
        CredentialName::SignIn => serde_json::from_str::<serde_json::Value>(secret).is_ok(),
        _ => !secret.is_empty(),
    }
}

/// Whether it can be read.
fn session_store(folder: &DeviceFolder, findings: &mut Findings) -> Result<bool, CliError> {
    let path = &folder.store_path();
    if !path.exists() {
        findings.ok("session store", "none yet; the first session creates it")?;
        return Ok(true);
    }
    let problem = match SqliteSessionStore::problems(path) {
        Ok(problems) => problems.into_iter().next(),
        Err(error) => Some(error.to_string()),
    };
    match problem.or_else(|| unreadable_record(folder)) {
        Some(problem) => {
            let advice = "stop the daemon and run `levi outbox repair`: it copies what can be read to a new store, and \
                          keeps the damaged file";
            findings.problem("session store", problem, advice)?;
            Ok(false)
        }
        None => {
            findings.ok("session store", "sound")?;
            Ok(true)
        }
    }
}

/// A record that its key does not open. A key that is missing or damaged is a finding of its own, and none is made here.
fn unreadable_record(folder: &DeviceFolder) -> Option<String> {
    let path = folder.credentials_path();
    if !path.exists() {
        return None;
    }
    let stored = FileCredentials::open(path).ok()?.load(&CredentialName::DatabaseKey).ok()??;
    // Exposed to be parsed.
    let key = DatabaseKey::from_base64(stored.expose()).ok()?;
    match SqliteSessionStore::unreadable_records(folder.store_path(), key) {
        Ok(records) => records.into_iter().next(),
        Err(error) => Some(error.to_string()),
    }
}

fn outbox(path: &Path, findings: &mut Findings) -> Result<(), CliError> {
    match owner::is_owned(path) {
        Some(true) => findings.ok("owner", "a daemon or another `levi` process owns the outbox")?,
        Some(false) => {
            findings.note("owner", "no process sends messages", "start the daemon, or run `levi sync`")?
        }
        None => {
            findings.problem("owner", "the lock file cannot be read", "check the directory's permissions")?
        }
    }
    if !path.exists() {
        return findings.ok("outbox", "none yet; the first message creates it");
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
        let advice = "stop the daemon and run `levi outbox repair`: it keeps the damaged file";
        findings.problem("outbox", problem.clone(), advice)?;
    }
    if problems.is_empty() {
        findings.ok("outbox", "sound")?;
    }
    let space = inspector.space()?;
    if space.log_bytes > LOG_BYTES {
        let log = format!("the log of the outbox has {}", bytes(space.log_bytes));
        let reader = space.log_reader.map_or_else(|| "a process".to_owned(), |id| format!("process {id}"));
        let advice =
            format!("{reader} that reads the outbox keeps it from being shortened; end that process");
        findings.note("disk", log, &advice)?;
    }
    if space.quarantined_bytes > 0 {
        let copies = format!("damaged outboxes that were repaired take {}", bytes(space.quarantined_bytes));
        let advice = format!("remove `{}.damaged-*` once nothing in them is missed", path.display());
        findings.note("disk", copies, &advice)?;
    }
    backlog(&inspector, findings)
}

fn unreadable(error: &OutboxError, findings: &mut Findings) -> Result<(), CliError> {
    let advice = match error {
        OutboxError::Corrupt(_) => {
            "stop the daemon and run `levi outbox repair`: it recovers what it can, and keeps the damaged file next to the new one"
        }
        _ => "fix this first",
    };
    findings.problem("outbox", describe(error), advice)
}

fn describe(error: &OutboxError) -> String {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(" ({cause})"));
    format!("{error}{cause}")
}

fn backlog(inspector: &Inspector, findings: &mut Findings) -> Result<(), CliError> {
    let totals = inspector.totals()?;
    let rows = inspector.list(None, SAMPLE)?;
    let (parked, pending): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.parked);
    let messages = plural(totals.pending_rows, "message");
    match pending.iter().find_map(|row| row.reason.as_ref()) {
        Some(Reason { code, detail }) => findings.note(
            "pending",
            format!("{messages}; the last error: {code} ({detail})"),
            "run `levi doctor --server`; pending messages are retried automatically",
        )?,
        None => findings.ok("pending", messages)?,
    }
    for held in inspector.held()? {
        let user = held.user_id.map_or_else(|| "nobody known".to_owned(), |id| id.to_string());
        let rows = plural(held.pending + held.parked, "row");
        findings.note(
            "held",
            format!("{rows} of user {user}, who is not signed in"),
            "they are sent when that user signs in here again; or save them with `levi outbox export` and discard them",
        )?;
    }
    if totals.parked_rows + totals.parked_control_rows == 0 {
        return findings.ok("parked", "nothing");
    }
    let advice =
        "see `levi outbox list --parked`; fix what it names, then run `levi outbox retry` or `discard`";
    for row in parked.iter().filter(|row| row.kind.is_control()) {
        findings.problem("parked", format!("{}{}", row.lane, because(row.reason.as_ref())), advice)?;
    }
    if totals.parked_rows == 0 {
        return Ok(());
    }
    let example = parked.iter().filter(|row| !row.kind.is_control()).find_map(|row| row.reason.as_ref());
    let detail = format!("{}{}", plural(totals.parked_rows, "message"), because(example));
    findings.problem("parked", detail, advice)
}

fn because(reason: Option<&Reason>) -> String {
    reason.map_or_else(String::new, |reason| format!(", because of {} ({})", reason.code, reason.detail))
}
