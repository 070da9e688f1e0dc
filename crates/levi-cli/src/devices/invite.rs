//! `levi pair` on a device of the list: it shows a code, and adds who asks with it.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use levi::core::{OpenInvitation, PairingRequest};
use levi::devices::Fingerprint;
use levi::devices::pairing::VALID_FOR_MS;
use serde::Serialize;

use super::opened::Opened;
use super::{Here, person, qr};
use crate::console::{Console, Format};
use crate::error::CliError;
use crate::exit::Exit;
use crate::share::Shared;
use crate::text::plural;

/// How long a code is valid.
const VALID_FOR: Duration = Duration::from_millis(VALID_FOR_MS as u64);

#[derive(Serialize)]
struct Code<'a> {
    pairing_code: &'a str,
    valid_for_seconds: u64,
}

#[derive(Serialize)]
struct Asks<'a> {
    asks: &'a str,
    fingerprint: String,
}

#[derive(Serialize)]
struct Added<'a> {
    added: &'a str,
    fingerprint: String,
    shared: u64,
    unreadable: u64,
}

pub(super) async fn run(here: &Here, yes: Option<String>, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(here).await?;
    if yes.is_none() && !person::is_there(console) {
        return Err(CliError::Usage(
            "there is no terminal to ask whether the device that answers is yours; give --yes with the beginning of \
             its fingerprint, which `levi devices` shows there",
        ));
    }
    let invitation = opened.admin.invite().await?;
    show(&invitation, console)?;
    let request = invitation.request(VALID_FOR).await?;
    let (name, fingerprint) = (request.member().name().to_owned(), request.member().fingerprint());
    if !is_wanted(&name, fingerprint, yes.as_deref(), console)? {
        if let Err(error) = invitation.decline(&request).await {
            // Nobody is added all the same.
            console.say(format!("the other device could not be told: {error}"))?;
        }
        return Err(CliError::NotPaired { name, fingerprint: fingerprint.to_string() });
    }
    add(&opened, invitation, request, console).await
}

fn show(invitation: &OpenInvitation<'_>, console: Console) -> Result<(), CliError> {
    // Exposed because the person carries it to the new device.
    let code = invitation.expose_code();
    let code = code.expose();
    console.json(&Code { pairing_code: code, valid_for_seconds: VALID_FOR.as_secs() })?;
    console.say("On the new device, sign in with `levi login`. Then run there:\n")?;
    console.say(format!("  levi pair {code}\n"))?;
    if console.format == Format::Text
        && io::stdout().is_terminal()
        && let Some(picture) = qr::picture(code)
    {
        console.say(picture)?;
    }
    console
        .say("The code is valid for 10 minutes, and once. Give it to no person and to no other program.")?;
    console.say("waiting for the new device ...")
}

/// Whether the person, or the fingerprint that a script gave, says yes.
fn is_wanted(
    name: &str,
    fingerprint: Fingerprint,
    yes: Option<&str>,
    console: Console,
) -> Result<bool, CliError> {
    console.json(&Asks { asks: name, fingerprint: fingerprint.to_string() })?;
    console.say(format!("\na device asks to be added:\n\n  {name}  {fingerprint}\n"))?;
    match yes {
        Some(prefix) => Ok(fingerprint.starts_with(prefix)),
        None => person::says_yes("Does the new device show the same name and fingerprint? Add it? [y/N] "),
    }
}

async fn add(
    opened: &Opened,
    invitation: OpenInvitation<'_>,
    request: PairingRequest,
    console: Console,
) -> Result<Exit, CliError> {
    let (name, fingerprint) = (request.member().name().to_owned(), request.member().fingerprint());
    let device = invitation.accept(request).await?;
    console.say(format!("{name} is on the list"))?;
    let shared = opened.share_with(&device, console).await?;
    let Shared { shared: sessions, unreadable } = shared;
    console.json(&Added {
        added: &name,
        fingerprint: fingerprint.to_string(),
        shared: sessions,
        unreadable,
    })?;
    console.say(format!("{} shared with it", plural(sessions, "session")))?;
    Ok(shared.exit())
}
