//! `levi outbox export`.

use std::collections::HashMap;

use levi::core::{StoredKeys, open_stored, stored_keyring};
use levi::crypto::MessageKey;
use levi::devices::keyring::Keyring;
use levi::outbox::sqlite::Inspector;
use levi::outbox::{ListedRow, RowKey, RowKind};
use levi::{DatabaseKey, SessionId, SessionSecret, SessionStore as _, SqliteSessionStore, UserId};
use serde::Serialize;

use super::{ListArgs, each_row, outbox_path};
use crate::console::{Console, Diagnostic};
use crate::data_dir::{self, DataDir};
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
    keyrings: HashMap<UserId, Option<Keyring>>,
}

pub(super) fn run(args: &ListArgs, console: Console) -> Result<Exit, CliError> {
    let inspector = Inspector::open(outbox_path(&args.data)?)?;
    let mut keys = Keys::open(DataDir::open(data_dir::resolve(args.data.data_dir.as_deref()))?)?;
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
    let keyring = row.user_id.as_ref().and_then(|user| keys.keyring(user));
    let mut content = None;
    let row_key = RowKey { id: row.id, version: row.version };
    inspector.payloads(&[row_key], &mut |_, _, payload| {
        let keys = StoredKeys {
            message_key: key.as_ref(),
            keyring: keyring.as_ref(),
            database_key: Some(&keys.database_key),
        };
        let opened = open_stored(row, payload, keys);
        content = Some(opened.map_err(|error| error.to_string()));
    })?;
    Ok(content)
}

impl Keys {
    fn open(data_dir: DataDir) -> Result<Self, CliError> {
        let (database_key, store) = (data_dir.database_key()?, data_dir.session_store()?);
        Ok(Self { database_key, store, cache: HashMap::new(), keyrings: HashMap::new() })
    }

    /// The secrets of the user's device list. Without them, rows that need one are named.
    fn keyring(&mut self, user: &UserId) -> Option<Keyring> {
        let read = || stored_keyring(&self.store, user, &self.database_key).ok().flatten();
        self.keyrings.entry(user.clone()).or_insert_with(read).clone()
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
