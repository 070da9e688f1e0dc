//! `levi outbox export`.

use std::collections::HashMap;

use levi::core::{StoredKeys, open_stored, stored_device_list};
use levi::crypto::MessageKey;
use levi::devices::keyring::Keyring;
use levi::outbox::sqlite::Inspector;
use levi::outbox::{ListedRow, RowKey, RowKind};
use levi::{
    DatabaseKey, DeviceFolder, SessionId, SessionSecret, SessionStore as _, SqliteSessionStore, UserId,
};
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
    /// The secrets of the device list's epochs.
    epochs: Option<Keyring>,
    cache: HashMap<SessionId, Vec<MessageKey>>,
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
    let of_session = row.lane.session_id().map(|session| keys.of(row.user_id.as_ref(), session));
    let of_session = of_session.transpose()?.unwrap_or_default();
    let mut content = None;
    let row_key = RowKey { id: row.id, version: row.version };
    inspector.payloads(&[row_key], &mut |_, _, payload| {
        let opened = open_stored(row, payload, keys.for_row(&of_session));
        content = Some(opened.map_err(|error| error.to_string()));
    })?;
    Ok(content)
}

impl Keys {
    fn open(folder: &DeviceFolder) -> Result<Self, CliError> {
        let (database_key, store) = (folder.database_key()?, folder.session_store()?);
        let epochs = match (folder.project()?, folder.device_id()?) {
            (Some(levi::Project { user_id, .. }), Some(device)) => {
                // Rows that need a list which cannot be read are named one by one.
                let stored = stored_device_list(&store, &user_id, &device, Some(&database_key));
                stored.ok().flatten().and_then(|stored| stored.keyring)
            }
            _ => None,
        };
        Ok(Self { database_key, store, epochs, cache: HashMap::new() })
    }

    fn for_row<'k>(&'k self, session: &'k [MessageKey]) -> StoredKeys<'k> {
        StoredKeys { session, epochs: self.epochs.as_ref(), database: Some(&self.database_key) }
    }

    /// The session's key, and those of the secrets that it had before.
    fn of(&mut self, user: Option<&UserId>, session: &SessionId) -> Result<Vec<MessageKey>, CliError> {
        if let Some(keys) = self.cache.get(session) {
            return Ok(keys.clone());
        }
        let mut secrets: Vec<_> = self.store.session_secret(session)?.into_iter().collect();
        if let Some(user) = user {
            let received = self.store.received_secrets(user, session)?;
            secrets.extend(received.into_iter().map(|received| received.secret));
        }
        // Exposed to be parsed into a key.
        let secrets = secrets.iter().filter_map(|secret| SessionSecret::parse(secret.expose()).ok());
        let keys: Vec<_> = secrets.map(|secret| secret.message_key()).collect();
        self.cache.insert(session.clone(), keys.clone());
        Ok(keys)
    }
}
