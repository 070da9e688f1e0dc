//! `levi pair CODE`: a new device asks to be put on the list.

use std::time::Duration;

use levi::devices::pairing::PairingCode;
use serde::Serialize;

use super::opened::Opened;
use super::{Here, person};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::text::plural;

/// How long the person at the other device may take.
const WITHIN: Duration = Duration::from_secs(600);

/// Means stdin.
const STDIN: &str = "-";

#[derive(Serialize)]
struct Asking<'a> {
    asking_as: &'a str,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct Joined<'a> {
    joined_as: &'a str,
    fingerprint: &'a str,
}

pub(super) async fn run(
    here: &Here,
    code: &str,
    name: Option<String>,
    console: Console,
) -> Result<Exit, CliError> {
    // Exposed to be parsed. The error holds no text.
    let code = match code {
        STDIN => PairingCode::parse(person::secret_from_stdin()?.expose())?,
        typed => PairingCode::parse(typed)?,
    };
    let opened = Opened::new(here).await?;
    let fingerprint = opened.admin.fingerprint()?.to_string();
    if opened.admin.resume().await? {
        opened.tell_daemon();
        console.json(&Joined { joined_as: &opened.own_name(name).await?, fingerprint: &fingerprint })?;
        console.say(format!(
            "an earlier pairing was interrupted at its end; this device is on the list. To read earlier sessions, run \
             `levi share {}` on another device",
            opened.connection.device_id
        ))?;
        return Ok(Exit::Done);
    }
    let name = opened.own_name(name).await?;
    let reads_already = opened.reads_any_session().await?;
    console.json(&Asking { asking_as: &name, fingerprint: &fingerprint })?;
    console.say(format!("asking to be added as\n\n  {name}  {fingerprint}\n"))?;
    console.say("Say yes on the other device if it shows the same name and fingerprint.")?;
    opened.admin.join(&code, &name, WITHIN).await?;
    opened.tell_daemon();
    console.json(&Joined { joined_as: &name, fingerprint: &fingerprint })?;
    console.say("this device is on the list; the other one is sharing the earlier sessions with it now")?;
    if !reads_already {
        return Ok(Exit::Done);
    }
    // Sessions from before the list, which no other device may be able to share with the recovery key. What this device
    // cannot read is shared by the other one, maybe at this moment.
    let sessions = opened.share_readable_with_recovery_key().await?;
    console.say(format!("{} of this device shared with the recovery key", plural(sessions, "session")))?;
    Ok(Exit::Done)
}
