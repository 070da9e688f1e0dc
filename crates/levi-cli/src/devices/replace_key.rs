//! `levi recovery new`: another recovery key takes the place of the old one.

use levi::core::DeviceListError;
use levi::devices::list::ReadError;
use serde::Serialize;

use super::opened::Opened;
use super::{NewKeyArgs, recovery_key};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::share::Shared;
use crate::text::plural;

#[derive(Serialize)]
struct Replaced {
    replaced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key_file: Option<String>,
    shared: u64,
    unreadable: u64,
}

pub(super) async fn run(args: NewKeyArgs, console: Console) -> Result<Exit, CliError> {
    recovery_key::check(&args.paper, console)?;
    let opened = Opened::new(&args.here).await?;
    let old = recovery_key::read(&args.key, "The recovery key until now: ")?;
    // Before a new key is written down in vain.
    if let Err(error) = opened.admin.list_with(&old).await {
        if matches!(error, DeviceListError::Read(ReadError::ReplacedRecoveryKey)) {
            // An earlier run may have been interrupted before the new key was given the sessions.
            opened.admin.state().await?;
            let Shared { shared, .. } = opened.share_with_recovery_key(console).await?;
            console.say(format!("{} shared with the newer key", plural(shared, "session")))?;
        }
        return Err(error.into());
    }
    let written = recovery_key::write_down(&args.paper, console)?;
    if let Err(error) = opened.admin.replace_recovery_key(&old, &written.key).await {
        console
            .say("keep both recovery keys: the next `levi recovery new` says which one it continues with")?;
        return Err(error.into());
    }
    console.say("the new recovery key is valid now; destroy the old one")?;
    let shared = opened.share_with_recovery_key(console).await?;
    let Shared { shared: sessions, unreadable } = shared;
    let recovery_key_file = written.file().map(|path| path.display().to_string());
    console.json(&Replaced { replaced: true, recovery_key_file, shared: sessions, unreadable })?;
    console.say(format!("{} shared with it", plural(sessions, "session")))?;
    Ok(shared.exit())
}
