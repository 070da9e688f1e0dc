//! `levi init`: the first device begins the list.

use levi::core::{DeviceListError, OtherDevices};
use serde::Serialize;

use super::opened::Opened;
use super::{InitArgs, recovery_key};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::share::Shared;
use crate::text::plural;

/// What became of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Begun,
    /// An earlier command was interrupted after it had changed the list.
    Resumed,
}

#[derive(Serialize)]
struct Begun<'a> {
    outcome: Outcome,
    user_id: &'a str,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key_file: Option<String>,
    /// Sessions that the recovery key reads.
    shared: u64,
    unreadable: u64,
}

pub(super) async fn run(args: InitArgs, console: Console) -> Result<Exit, CliError> {
    let opened = Opened::new(&args.here).await?;
    if opened.admin.resume().await? {
        console.say(
            "an earlier command had put this device on the list and was interrupted; it is done now, with the recovery \
             key of then",
        )?;
        return finish(&opened, Outcome::Resumed, None, console).await;
    }
    let others = if args.migrate { OtherDevices::PairLater } else { OtherDevices::Refuse };
    // Before a key is written down in vain.
    recovery_key::check(&args.paper, console)?;
    opened.admin.check_init(others).await?;
    opened.keep_secrets().await?;
    let name = opened.own_name(args.name).await?;
    let user = &opened.connection.user_id;
    console.say(format!("beginning the device list of user {user} with this device, {name}"))?;
    let written = recovery_key::write_down(&args.paper, console)?;
    match opened.admin.init(&name, &written.key, others).await {
        Ok(()) => {
            let file = written.file().map(|path| path.display().to_string());
            finish(&opened, Outcome::Begun, file, console).await
        }
        // Nothing was sent.
        Err(
            error @ (DeviceListError::ListExists
            | DeviceListError::OtherDevices(_)
            | DeviceListError::Member(_)),
        ) => {
            written.discard();
            Err(error.into())
        }
        Err(error) => {
            console.say("keep the recovery key until `levi init` says whether the list was begun with it")?;
            Err(error.into())
        }
    }
}

async fn finish(
    opened: &Opened,
    outcome: Outcome,
    recovery_key_file: Option<String>,
    console: Console,
) -> Result<Exit, CliError> {
    opened.tell_daemon();
    let shared = opened.share_with_recovery_key(console).await?;
    let Shared { shared: sessions, unreadable } = shared;
    let fingerprint = opened.admin.fingerprint()?.to_string();
    let user_id = opened.connection.user_id.as_str();
    console.json(&Begun {
        outcome,
        user_id,
        fingerprint: fingerprint.clone(),
        recovery_key_file,
        shared: sessions,
        unreadable,
    })?;
    console.say(format!("this device is on the list; its fingerprint is {fingerprint}"))?;
    if sessions > 0 {
        console.say(format!(
            "the recovery key also reads {} from before the list",
            plural(sessions, "session")
        ))?;
    }
    console.say("add your other devices with `levi pair`; two devices are better than one")?;
    Ok(shared.exit())
}
