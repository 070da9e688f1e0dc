//! `levi remove DEVICE`.

use serde::Serialize;

use super::opened::Opened;
use super::{RemoveArgs, person};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
    fingerprint: String,
}

pub(super) async fn run(args: RemoveArgs, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(&args.here).await?;
    if !args.yes && !person::is_there(console) {
        return Err(CliError::Usage("there is no terminal to ask whether to remove the device; give --yes"));
    }
    let device = opened.admin.find(&args.device).await?;
    let (name, fingerprint) = (&device.name, device.fingerprint);
    let which = if device.is_this { ", which is this device" } else { "" };
    console.say(format!("{name}  {fingerprint}{which}"))?;
    if !args.yes && !person::says_yes("Remove it? It reads nothing that is written from then on. [y/N] ")? {
        console.say("nothing was changed")?;
        return Ok(Exit::BadInput);
    }
    opened.admin.remove(&device.id).await?;
    opened.tell_daemon();
    console.json(&Removed { removed: name, fingerprint: fingerprint.to_string() })?;
    console.say(format!(
        "{name} is removed. Your other devices learn of it within a minute while they run; what it has read before, it keeps"
    ))?;
    Ok(Exit::Done)
}
