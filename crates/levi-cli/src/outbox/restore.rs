//! `levi outbox restore`: a session that was deleted on another device, written to the server again.

use levi::core::{SystemClock, rows_to_restore};
use levi::outbox::sqlite::{AdminCommand, OutboxAdmin};
use levi::types::Clock as _;
use levi::{SessionId, SessionStore as _, SyncError};
use serde::Serialize;

use super::{RestoreArgs, change, outbox_path};
use crate::console::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ids::canonical_uuid;

#[derive(Serialize)]
struct Restored<'a> {
    restored: &'a SessionId,
}

pub(super) fn run(args: &RestoreArgs, console: Console) -> Result<Exit, CliError> {
    let path = outbox_path(&args.data)?;
    let id = canonical_uuid(&args.session).ok_or(CliError::NotAUuid { what: "the session" })?;
    let session = SessionId::from(id);
    let store = args.data.folder().session_store()?;
    let known = store.session(&session)?.ok_or_else(|| SyncError::SessionNotFound(session.clone()))?;
    if store.session_secret(&session)?.is_none() {
        return Err(SyncError::SecretNotFound(session).into());
    }
    let rows = rows_to_restore(&known, SystemClock::new().now().wall);
    let command = AdminCommand::RestoreSession { rows: rows.into() };
    let notice = change::commit(&mut OutboxAdmin::open(&path)?, &[command])?;
    console.json(&Restored { restored: &session })?;
    console.say(format!("session {session} is written again; {}", change::next(notice)))?;
    Ok(Exit::Done)
}
