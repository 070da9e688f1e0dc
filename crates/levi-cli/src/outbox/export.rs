use std::collections::HashMap;
use std::path::Path;

use levi::{
    DatabaseKey, Inspector, LaneKey, ListedRow, MessageKey, RowKey, SessionId, SessionSecret,
    SessionStore as _, SqliteSessionStore, open_stored,
};
use serde::Serialize;

use super::{ListArgs, each_row, existing, open};
use crate::console::{Complaint, Console};
use crate::error::CliError;
use crate::exit::Exit;
use crate::home::Home;

/// One line of the output: what `levi sync` takes.
#[derive(Serialize)]
struct Exported<'a> {
    session_id: &'a str,
    message_id: &'a str,
    sequence_number: i64,
    content: &'a str,
}

struct Keys {
    database_key: DatabaseKey,
    store: SqliteSessionStore,
    known: HashMap<SessionId, Option<MessageKey>>,
}

pub(super) fn run(args: &ListArgs, console: Console) -> Result<Exit, CliError> {
    let (folder, path) = existing(&args.data)?;
    let inspector = open(&path)?;
    let mut keys = Keys::open(&folder)?;
    let mut unreadable = 0_u64;
    each_row(&inspector, args, |row| match content(&inspector, &mut keys, row)? {
        // Not a message, or sent or discarded since it was listed.
        None => Ok(()),
        Some(Ok(content)) => console.record(&Exported {
            session_id: row.lane.subject(),
            message_id: row.message_id.as_str(),
            sequence_number: row.sequence_number,
            content: &content,
        }),
        Some(Err(error)) => {
            unreadable += 1;
            console.complain(&Complaint {
                line: None,
                session_id: Some(row.lane.subject()),
                sequence_number: Some(row.sequence_number),
                error,
            });
            Ok(())
        }
    })?;
    Ok(if unreadable > 0 { Exit::BadInput } else { Exit::Done })
}

fn content(
    inspector: &Inspector,
    keys: &mut Keys,
    row: &ListedRow,
) -> Result<Option<Result<String, String>>, CliError> {
    let LaneKey::Messages(session_id) = &row.lane else { return Ok(None) };
    let key = keys.of(session_id)?;
    let mut read = None;
    let wanted = RowKey { id: row.id, version: row.version };
    inspector.payloads(&[wanted], &mut |_, _, payload| {
        let opened = open_stored(row, payload, key.as_ref(), Some(&keys.database_key));
        read = Some(opened.map_err(|error| error.to_string()));
    })?;
    Ok(read)
}

impl Keys {
    fn open(folder: &Path) -> Result<Self, CliError> {
        let home = Home::open(folder.to_owned())?;
        Ok(Self { database_key: home.database_key()?, store: home.session_store()?, known: HashMap::new() })
    }

    fn of(&mut self, session: &SessionId) -> Result<Option<MessageKey>, CliError> {
        if let Some(known) = self.known.get(session) {
            return Ok(known.clone());
        }
        let stored = self.store.session_secret(session)?;
        // Exposed to be parsed; it goes on as a key.
        let secret = stored.and_then(|secret| SessionSecret::parse(secret.expose()).ok());
        let key = secret.map(|secret| secret.message_key());
        self.known.insert(session.clone(), key.clone());
        Ok(key)
    }
}
