//! Copies records of a damaged file into the tables that they are of.

use std::collections::HashSet;

use levi_outbox::sqlite::records::FoundRecord;
use levi_types::ReceivedSecret;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::cipher::Cipher;
use super::failure::Failure;
use super::received;
use super::records::{REPOSITORIES, Records, SECRETS, SESSIONS};
use super::repair::RepairedStore;
use super::schema;

const SEALED: [&Records; 3] = [&REPOSITORIES, &SESSIONS, &SECRETS];

/// A table whose records are in the clear.
struct Plain {
    name: &'static str,
    /// How many columns name a record.
    key_columns: usize,
    insert: &'static str,
}

const PROGRESS: Plain = Plain {
    name: "levi_store_progress",
    key_columns: 1,
    insert: "INSERT INTO levi_store_progress (session_id, last_sent, sent) VALUES (?1, ?2, ?3)
             ON CONFLICT (session_id) DO UPDATE SET
                 last_sent = max(last_sent, excluded.last_sent), sent = max(sent, excluded.sent)",
};

const UNSENT: Plain = Plain {
    name: "levi_store_unsent",
    key_columns: 2,
    insert: "INSERT OR REPLACE INTO levi_store_unsent (session_id, sequence_number, message_id, state, code)
             VALUES (?1, ?2, ?3, ?4, ?5)",
};

const EPOCH_STARTS: Plain = Plain {
    name: "levi_store_epoch_starts",
    key_columns: 3,
    insert: "INSERT INTO levi_store_epoch_starts (user_id, session_id, epoch, sequence_number)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user_id, session_id, epoch)
             DO UPDATE SET sequence_number = min(sequence_number, excluded.sequence_number)",
};

const DEVICE_LIST: Plain = Plain {
    name: "levi_store_device_list",
    key_columns: 1,
    insert: "INSERT OR REPLACE INTO levi_store_device_list (user_id, list) VALUES (?1, ?2)",
};

/// A copy under way.
pub(super) struct Copy<'a> {
    new: &'a Transaction<'a>,
    cipher: &'a Cipher,
    /// What was taken although it may be gone, by table and id, until a record that is certain replaces it.
    uncertain: HashSet<(&'static str, String)>,
    opened: u64,
    /// The sealed records that do not open, those among them that may be gone as well.
    refused: u64,
    /// The others of these.
    unreadable: u64,
}

/// What was copied.
pub(super) struct Copied {
    uncertain: u64,
    pub(super) unreadable: u64,
}

impl<'a> Copy<'a> {
    pub(super) fn new(new: &'a Transaction<'a>, cipher: &'a Cipher) -> Self {
        Self { new, cipher, uncertain: HashSet::new(), opened: 0, refused: 0, unreadable: 0 }
    }

    /// Those that may be older come first.
    pub(super) fn add(&mut self, record: &FoundRecord) -> Result<(), Failure> {
        match (record.in_index, record.columns.as_slice()) {
            (false, [Value::Text(id), Value::Blob(sealed), rest @ ..]) if rest.len() <= 1 => {
                self.sealed(record, id, sealed, rest.first().unwrap_or(&Value::Null))
            }
            (
                false,
                [Value::Null, Value::Text(user), Value::Text(session), sender, key, Value::Blob(sealed)],
            ) => self.received(record, [user, session], [sender, key], sealed),
            (false, [Value::Null | Value::Integer(_), Value::Integer(_), Value::Blob(check), rest @ ..])
                if rest.len() <= 1 =>
            {
                self.signed_in(record, check, rest.first())
            }
            (false, [Value::Text(_), Value::Integer(_), Value::Integer(_)]) => self.plain(&PROGRESS, record),
            (true, [Value::Text(_), Value::Integer(_), Value::Text(_), Value::Text(_), Value::Text(_)]) => {
                self.plain(&UNSENT, record)
            }
            (true, [Value::Text(_), Value::Text(_), Value::Integer(_), Value::Integer(_)]) => {
                self.plain(&EPOCH_STARTS, record)
            }
            _ => Ok(()),
        }
    }

    /// A record of a repository, a session or a secret: whichever the key opens it as.
    fn sealed(&mut self, record: &FoundRecord, id: &str, sealed: &[u8], user: &Value) -> Result<(), Failure> {
        let Some(records) = SEALED.into_iter().find(|records| records.open(self.cipher, id, sealed).is_ok())
        else {
            // What is left with two columns is a device list, which no key of this store seals.
            if record.columns.len() == 2 {
                return self.plain(&DEVICE_LIST, record);
            }
            self.refuse(record);
            return Ok(());
        };
        self.opened += 1;
        self.note(record, records.table(), id.to_owned());
        if records.table() == SECRETS.table() {
            self.keep_earlier(id, sealed)?;
        }
        records.restore(self.new, id, sealed, user)
    }

    /// A session's secret that another one replaces is kept to read with.
    fn keep_earlier(&self, session: &str, sealed: &[u8]) -> Result<(), Failure> {
        let before = SECRETS.load_text(self.new, self.cipher, session)?;
        let now = SECRETS.open(self.cipher, session, sealed)?;
        match before.filter(|before| before.expose().as_bytes() != &**now) {
            Some(secret) => {
                let earlier = ReceivedSecret { secret, sender: None };
                received::keep(self.new, self.cipher, received::NO_USER, &session.into(), &earlier)
            }
            None => Ok(()),
        }
    }

    fn received(
        &mut self,
        record: &FoundRecord,
        [user, session]: [&str; 2],
        [sender, key]: [&Value; 2],
        sealed: &[u8],
    ) -> Result<(), Failure> {
        let text = |value: &Value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        let (session, sender, key) = (session.into(), text(sender), text(key));
        let Some(received) = received::open(self.cipher, user, &session, sender.zip(key), sealed) else {
            self.refuse(record);
            return Ok(());
        };
        self.opened += 1;
        received::keep(self.new, self.cipher, user, &session, &received)
    }

    /// Who signed in last, if it is this store's own row.
    fn signed_in(&mut self, record: &FoundRecord, check: &[u8], user: Option<&Value>) -> Result<(), Failure> {
        if self.cipher.open(schema::key_slot(), check).is_ok() {
            self.opened += 1;
            if let Some(Value::Text(user)) = user {
                self.new.execute("UPDATE levi_store_schema SET user_id = ?1", [user])?;
            }
        } else {
            self.refuse(record);
        }
        Ok(())
    }

    /// One that the table refuses is of another one.
    fn plain(&mut self, table: &Plain, record: &FoundRecord) -> Result<(), Failure> {
        let mut insert = self.new.prepare_cached(table.insert)?;
        match insert.execute(rusqlite::params_from_iter(&record.columns)) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                return Ok(());
            }
            written => written?,
        };
        drop(insert);
        self.note(record, table.name, format!("{:?}", &record.columns[..table.key_columns]));
        Ok(())
    }

    fn refuse(&mut self, record: &FoundRecord) {
        self.refused += 1;
        self.unreadable += u64::from(record.is_current);
    }

    fn note(&mut self, record: &FoundRecord, table: &'static str, id: String) {
        let name = (table, id);
        if record.is_current {
            self.uncertain.remove(&name);
        } else {
            self.uncertain.insert(name);
        }
    }

    /// # Errors
    /// [`Failure::WrongKey`] if there are sealed records and none opens: nothing is given up for want of the key.
    pub(super) fn end(self) -> Result<Copied, Failure> {
        if self.opened == 0 && self.refused > 0 {
            return Err(Failure::WrongKey);
        }
        Ok(Copied { uncertain: self.uncertain.len() as u64, unreadable: self.unreadable })
    }
}

impl Copied {
    /// With the counts of the new file.
    pub(super) fn into_report(self, new: &Connection) -> Result<RepairedStore, Failure> {
        let count = |records: &Records| {
            let rows = format!("SELECT count(*) FROM {}", records.table());
            new.query_row(&rows, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        };
        Ok(RepairedStore {
            repositories: count(&REPOSITORIES)?,
            sessions: count(&SESSIONS)?,
            secrets: count(&SECRETS)?,
            uncertain: self.uncertain,
            lost: self.unreadable,
            ..RepairedStore::default()
        })
    }
}
