//! `levi outbox export`.

use std::collections::HashMap;

use levi::core::open_stored;
use levi::crypto::MessageKey;
use levi::outbox::sqlite::Inspector;
use levi::outbox::{ListedRow, RowKey, RowKind};
use levi::{DatabaseKey, DeviceFolder, SessionId, SessionSecret, SessionStore as _, SqliteSessionStore};
use serde::Serialize;

use super::{ListArgs, each_row, outbox_path};
use crate::console::{Console, Diagnostic};
use crate::error::CliError;
use crate::exit::Exit;

/// One line of the output, in the form that `levi sync` reads.
#[derive(Serialize)]
struct Exported<'a> {
    session_id: Option<&'a str>,
    message_id: &'a str,
    sequence_number: i64,
    content: &'a str,
}

struct Keys {
    database_key: DatabaseKey,
    store: SqliteSessionStore,
    cache: HashMap<SessionId, Option<MessageKey>>,
}

pub(super) fn run(args: &ListArgs, console: Console) -> Result<Exit, CliError> {
    let inspector = Inspector::open(outbox_path(&args.data)?)?;
    let mut keys = Keys::open(&args.data.folder())?;
    let mut unreadable = 0_u64;
    each_row(
        &inspector,
        args,
        |row| row.kind == RowKind::Message,
        |row| {
            let session_id = row.lane.session_id().map(SessionId::as_str);
            match content(&inspector, &mut keys, row)? {
                // Sent or discarded since it was listed.
                None => Ok(()),
                Some(Ok(content)) => console.record(&Exported {
                    session_id,
                    message_id: row.message_id.as_str(),
                    sequence_number: row.sequence_number,
                    content: &content,
                }),
                Some(Err(error)) => {
                    unreadable += 1;
                    let sequence_number = Some(row.sequence_number);
                    console.report(&Diagnostic { session_id, sequence_number, ..Diagnostic::new(error) });
                    Ok(())
                }
            }
        },
    )?;
    Ok(if unreadable > 0 { Exit::BadInput } else { Exit::Done })
}

/// The decrypted content, or why it cannot be decrypted; `None` if the row no longer exists.
fn content(
    inspector: &Inspector,
    keys: &mut Keys,
    row: &ListedRow,
) -> Result<Option<Result<String, String>>, CliError> {
    let key = row.lane.session_id().map(|session| keys.of(session)).transpose()?.flatten();
    let mut content = None;
    let row_key = RowKey { id: row.id, version: row.version };
    inspector.payloads(&[row_key], &mut |_, _, payload| {
        let opened = open_stored(row, payload, key.as_ref(), Some(&keys.database_key));
        content = Some(opened.map_err(|error| error.to_string()));
    })?;
    Ok(content)
}

impl Keys {
    fn open(data_dir: &DeviceFolder) -> Result<Self, CliError> {
        let (database_key, store) = (data_dir.database_key()?, data_dir.session_store()?);
        Ok(Self { database_key, store, cache: HashMap::new() })
    }

    fn of(&mut self, session: &SessionId) -> Result<Option<MessageKey>, CliError> {
        if let Some(key) = self.cache.get(session) {
            return Ok(key.clone());
        }
        let stored = self.store.session_secret(session)?;
        // Exposed to be parsed into a key.
        let secret = stored.and_then(|secret| SessionSecret::parse(secret.expose()).ok());
        let key = secret.map(|secret| secret.message_key());
        self.cache.insert(session.clone(), key.clone());
        Ok(key)
    }
}
