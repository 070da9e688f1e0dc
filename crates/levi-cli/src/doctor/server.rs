//! The project: reachable, signed in, and set up as `supabase/migrations` sets it up.

use levi::{DeviceRow, Select, Table, Verdict, decode_rows};

use super::Findings;
use super::probe::Probe;
use crate::args::{DataArgs, ProjectArgs};
use crate::connection::Connection;
use crate::error::CliError;

pub(super) async fn check(
    project: &ProjectArgs,
    data: &DataArgs,
    findings: &mut Findings,
) -> Result<(), CliError> {
    let connection = match Connection::open(project, data).await {
        Ok(connection) => connection,
        Err(error) => return findings.problem("server", error.to_string(), "then run this again"),
    };
    if !reach(&connection, findings).await? {
        return Ok(());
    }
    let mut whole = true;
    for table in Table::ALL {
        whole &= Probe::new(&connection, table, findings).run().await?;
    }
    if whole { this_device(&connection, findings).await } else { Ok(()) }
}

/// Whether the project answers at all, and takes the sign-in.
async fn reach(connection: &Connection, findings: &mut Findings) -> Result<bool, CliError> {
    let url = &connection.http.api_url;
    let error = match connection.try_select(Select::probe(Table::Devices)).await {
        Ok(Ok(_)) => {
            findings.ok("server", format!("{url} answers and takes the sign-in"))?;
            return Ok(true);
        }
        Ok(Err(error)) => error,
        Err(error) => {
            findings.problem("server", error.to_string(), "run `levi login` if it goes on")?;
            return Ok(false);
        }
    };
    let advice = match error.verdict {
        Verdict::Unreachable => {
            "check the address and the network; a paused project must be restored in the dashboard"
        }
        Verdict::SignedOut => "run `levi login`; if that fails too, check the publishable key",
        Verdict::ProjectUnavailable => "the project is paused, restricted or read-only; see its dashboard",
        Verdict::Busy => "try again in a moment; if it stays, see the project's dashboard",
        // The tables are looked at one by one below.
        _ => return Ok(true),
    };
    findings.problem("server", format!("{url}: {error}"), advice)?;
    Ok(false)
}

/// Whether the server knows this device under this key.
async fn this_device(connection: &Connection, findings: &mut Findings) -> Result<(), CliError> {
    let again = "run `levi login` again";
    let rows = match connection.try_select(Select::device(&connection.device_id)).await? {
        Ok(body) => decode_rows::<DeviceRow>(&body)?,
        Err(failure) => return findings.problem("this device", failure.to_string(), again),
    };
    let own_key = connection.home.private_key()?.public_key().to_base64();
    match rows.first() {
        None => findings.problem("this device", "the server does not know it", again),
        Some(row) if row.public_key.as_deref() != Some(own_key.as_str()) => {
            let detail = "the server has another key for it, so it cannot open what is sealed for it";
            findings.problem("this device", detail, again)
        }
        Some(row) if !row.is_active => {
            findings.problem("this device", "was deactivated; it gets no new secrets", again)
        }
        Some(_) => findings.ok("this device", format!("{} is registered", connection.device_id)),
    }
}
