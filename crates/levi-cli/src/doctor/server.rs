//! The project: whether it can be reached, accepts the sign-in, and is set up as
//! `supabase/migrations` does it.

use levi::transport::rows::DeviceRow;
use levi::transport::rows::decode_rows;
use levi::transport::{Select, Table, Verdict};

use super::description::Description;
use super::probe::{MIGRATE, Probe};
use super::{Findings, device_list};
use crate::connection::Connection;
use crate::error::CliError;
use crate::options::{DataArgs, ProjectArgs};

pub(super) async fn check(
    project: &ProjectArgs,
    data: &DataArgs,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let connection = match Connection::open(project, data).await {
        Ok(connection) => connection,
        Err(error) => return findings.problem("server", error.to_string(), "fix this, then run this again"),
    };
    if !reach(&connection, findings).await? {
        return Ok(());
    }
    let description = describe(&connection, findings).await?;
    let mut sound = true;
    for table in Table::SYNC {
        sound &= Probe::new(&connection, table, description.as_ref(), findings).run().await?;
    }
    if sound {
        this_device(&connection, findings).await?;
    }
    for table in Table::TRUST {
        Probe::new(&connection, table, description.as_ref(), findings).run().await?;
    }
    device_list::check_shown(&connection, findings).await?;
    change_feed(&connection, findings).await
}

/// What PostgREST says of the tables, if it says it to users: hosted projects keep that for secret keys, which are on no
/// device.
async fn describe(connection: &Connection, findings: &mut Findings) -> Result<Option<Description>, CliError> {
    let document = connection.supabase().describe(&connection.token().await?).await;
    let why = match document.map(|document| Description::parse(&document)) {
        Ok(Some(description)) => return Ok(Some(description)),
        Ok(None) => "the answer is not understood".to_owned(),
        Err(error) => error.to_string(),
    };
    let detail =
        format!("types, primary keys and which columns may be NULL cannot be seen by a user here: {why}");
    let advice =
        "nothing is wrong by itself; if rows are refused, compare the tables with supabase/migrations";
    findings.note("description", detail, advice)?;
    Ok(None)
}

/// Whether messages have the columns of the change feed. A project without them goes on syncing.
async fn change_feed(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    let [user_id, change_id] = Table::FEED_COLUMNS;
    match connection.try_select(Select::feed_probe()).await? {
        Ok(_) => findings.ok("change feed", format!("messages have {user_id} and {change_id}")),
        Err(error) if error.verdict == Verdict::SchemaMismatch => {
            let detail = format!(
                "{} has no {user_id} and {change_id}; only the change feed needs them",
                Table::Messages.name()
            );
            findings.note("change feed", detail, MIGRATE)
        }
        Err(error) => {
            findings.note("change feed", format!("cannot be checked: {error}"), "run this again later")
        }
    }
}

/// Whether the project responds and accepts the sign-in.
async fn reach(connection: &Connection, findings: &mut Findings) -> Result<bool, CliError> {
    let url = &connection.device.http().api_url;
    let error = match connection.try_select(Select::probe(Table::Devices)).await {
        Ok(Ok(_)) => {
            findings.ok("server", format!("{url} responds and accepts the sign-in"))?;
            return Ok(true);
        }
        Ok(Err(error)) => error,
        Err(error) => {
            let advice = match error {
                CliError::NotSignedIn | CliError::SignInEnded(_) => "run `levi login`",
                _ => "the sign-in is still valid; run this again in a moment",
            };
            findings.problem("server", error.to_string(), advice)?;
            return Ok(false);
        }
    };
    let advice = match error.verdict {
        Verdict::Unreachable => {
            "check the address and the network; a paused project must be restored in the dashboard"
        }
        Verdict::SignedOut => {
            "the token is a moment old: run this again in a moment; if it fails again, compare the clocks and the JWT keys of the project's servers"
        }
        Verdict::ProjectUnavailable => "the project is paused, restricted or read-only; see its dashboard",
        Verdict::Busy => "try again in a moment; if it fails again, see the project's dashboard",
        // The checks of each table explain the refusal.
        _ => return Ok(true),
    };
    findings.problem("server", format!("{url}: {error}"), advice)?;
    Ok(false)
}

/// Whether the server has this device with its current public key.
async fn this_device(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    let log_in = "run `levi login` again";
    let rows = match connection.try_select(Select::device(&connection.device_id)).await? {
        Ok(body) => decode_rows::<DeviceRow>(&body)?,
        Err(failure) => return findings.problem("this device", failure.to_string(), log_in),
    };
    let own_key = connection.data_dir.private_key()?.public_key().to_base64();
    match rows.first() {
        None => findings.problem("this device", "is not registered on the server", log_in),
        Some(row) if row.public_key.as_deref() != Some(own_key.as_str()) => {
            let detail = "the server has another public key for it, so it cannot open the secrets that are shared with it";
            findings.problem("this device", detail, log_in)
        }
        Some(row) if !row.is_active => {
            findings.problem("this device", "is deactivated, so no new secrets are shared with it", log_in)
        }
        Some(_) => findings.ok("this device", format!("{} is registered", connection.device_id)),
    }
}
