//! Tables of an id and one encrypted value.

use levi_crypto::at_rest::Slot;
use levi_types::{SecretString, UserId};
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::failure::Failure;
use super::user;

/// One such table.
pub(super) struct Records {
    table: &'static str,
    column: &'static str,
    select: &'static str,
    list: &'static str,
    upsert: &'static str,
}

macro_rules! records {
    ($table:literal, $column:literal) => {
        Records {
            table: $table,
            column: $column,
            select: concat!(
                "SELECT ",
                $column,
                ", user_id, (SELECT user_id FROM levi_store_schema) FROM ",
                $table,
                " WHERE id = ?1"
            ),
            list: concat!(
                "SELECT id, ",
                $column,
                " FROM ",
                $table,
                " WHERE user_id IS (SELECT user_id FROM levi_store_schema) ORDER BY id"
            ),
            upsert: concat!(
                "INSERT INTO ",
                $table,
                " (id, ",
                $column,
                ", user_id) VALUES (?1, ?2, (SELECT user_id FROM levi_store_schema)) ",
                "ON CONFLICT (id) DO UPDATE SET ",
                $column,
                " = excluded.",
                $column,
                " WHERE user_id IS excluded.user_id"
            ),
        }
    };
}

pub(super) const REPOSITORIES: Records = records!("levi_store_repositories", "record");
pub(super) const SESSIONS: Records = records!("levi_store_sessions", "record");
pub(super) const SECRETS: Records = records!("levi_store_secrets", "secret");

impl Records {
    pub(super) const fn table(&self) -> &'static str {
        self.table
    }

    /// Stores a value as it was sealed before, for `user`.
    pub(super) fn restore(
        &self,
        connection: &Connection,
        id: &str,
        sealed: &[u8],
        user: &rusqlite::types::Value,
    ) -> Result<(), Failure> {
        let Self { table, column, .. } = self;
        let insert = format!("INSERT OR REPLACE INTO {table} (id, {column}, user_id) VALUES (?1, ?2, ?3)");
        connection.prepare_cached(&insert)?.execute((id, sealed, user))?;
        Ok(())
    }

    pub(super) fn save(
        &self,
        connection: &Connection,
        cipher: &Cipher,
        id: &str,
        record: &impl Serialize,
    ) -> Result<(), Failure> {
        let json = serde_json::to_vec(record).map_err(Failure::Json)?;
        self.save_bytes(connection, cipher, id, &json)
    }

    pub(super) fn save_bytes(
        &self,
        connection: &Connection,
        cipher: &Cipher,
        id: &str,
        plain: &[u8],
    ) -> Result<(), Failure> {
        let sealed = cipher.seal(self.slot(id), plain)?;
        let written = connection.prepare_cached(self.upsert)?.execute((id, sealed))?;
        // It was not written if there is one of another user, whom the look-up names.
        if written == 0 { self.load_bytes(connection, cipher, id).map(drop) } else { Ok(()) }
    }

    pub(super) fn load<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        cipher: &Cipher,
        id: &str,
    ) -> Result<Option<T>, Failure> {
        let plain = self.load_bytes(connection, cipher, id)?;
        plain.map(|plain| serde_json::from_slice(&plain).map_err(Failure::Json)).transpose()
    }

    /// A damaged text counts as absent. The key is the right one, or the store would not be open.
    pub(super) fn load_text(
        &self,
        connection: &Connection,
        cipher: &Cipher,
        id: &str,
    ) -> Result<Option<SecretString>, Failure> {
        let plain = match self.load_bytes(connection, cipher, id) {
            Err(Failure::Record { .. }) => None,
            loaded => loaded?,
        };
        Ok(plain.and_then(|plain| str::from_utf8(&plain).map(SecretString::from).ok()))
    }

    /// Those that can be read.
    pub(super) fn all<T: DeserializeOwned>(
        &self,
        connection: &Connection,
        cipher: &Cipher,
    ) -> Result<Vec<T>, Failure> {
        let mut statement = connection.prepare_cached(self.list)?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let Ok(plain) = self.open(cipher, &id, &sealed) else { continue };
            records.push(serde_json::from_slice(&plain).map_err(Failure::Json)?);
        }
        Ok(records)
    }

    /// Of all users, those that do not open.
    pub(super) fn unreadable(
        &self,
        connection: &Connection,
        cipher: &Cipher,
    ) -> Result<Vec<String>, Failure> {
        let mut statement =
            connection.prepare(&format!("SELECT id, {} FROM {} ORDER BY id", self.column, self.table))?;
        let mut rows = statement.query([])?;
        let mut unreadable = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, sealed): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            unreadable.extend(self.open(cipher, &id, &sealed).err().map(|error| error.to_string()));
        }
        Ok(unreadable)
    }

    fn load_bytes(
        &self,
        connection: &Connection,
        cipher: &Cipher,
        id: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let found = connection
            .prepare_cached(self.select)?
            .query_row([id], |row| {
                let user = |column| row.get::<_, Option<String>>(column).map(|id| id.map(UserId::from));
                Ok((row.get::<_, Vec<u8>>(0)?, user(1)?, user(2)?))
            })
            .optional()?;
        let Some((sealed, owner, signed_in)) = found else { return Ok(None) };
        user::check(self.table, id, owner, signed_in)?;
        self.open(cipher, id, &sealed).map(Some)
    }

    pub(super) fn open(
        &self,
        cipher: &Cipher,
        id: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let opened = cipher.open(self.slot(id), sealed);
        opened.map_err(|source| Failure::Record { table: self.table, id: id.to_owned(), source })
    }

    fn slot<'a>(&self, id: &'a str) -> Slot<'a> {
        Slot { table: self.table, row_key: id, column: self.column }
    }
}
