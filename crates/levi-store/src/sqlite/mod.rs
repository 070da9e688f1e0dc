//! The session store in SQLite.
//!
//! ```text
//! levi_store_repositories  id, record, user_id    record = sealed JSON of the repository
//! levi_store_sessions      id, record, user_id    record = sealed JSON of the session
//! levi_store_secrets       id, secret, user_id    secret = sealed text of the session's secret
//! levi_store_received      user_id, session_id, sender_device_id, sender_public_key, secret
//! levi_store_progress      session_id, last_sent, sent
//! levi_store_unsent        session_id, sequence_number, message_id, state, code
//! levi_store_device_list   user_id, list           list = what levi-core encodes
//! levi_store_epoch_starts  user_id, session_id, epoch, sequence_number
//! levi_store_schema        version, key_check, user_id
//! ```
//!
//! A record belongs to the user who was signed in when it was made ([`SessionStore::signed_in`], which Levi calls),
//! and is neither shown to another one nor replaced by one. `user_id` in `levi_store_schema` is who signed in last.
//!
//! `sealed` is [`levi_crypto::at_rest`] under the database key, bound to table, id and column. Ids, sequence
//! numbers and codes are stored in the clear; names, paths, titles and secrets are not.

mod cipher;
mod copy;
mod delivery;
mod device_list;
mod failure;
mod in_use;
mod integrity;
mod received;
mod records;
mod repair;
mod schema;
mod user;

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_outbox::sqlite::records::records as records_of_pages;
use levi_types::{
    CodingSession, DeliveryReport, DeviceId, ReceivedSecret, Repository, RepositoryId, SecretString,
    SessionId, SessionStore, StoreError, UserId,
};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use cipher::Cipher;
pub use delivery::{Progress, Unsent, UnsentState};
use failure::Failure;
use in_use::InUse;
use records::{REPOSITORIES, SECRETS, SESSIONS};
pub use repair::RepairedStore;

/// How long a statement waits while another process writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Repositories, sessions and their secrets in one SQLite file, sealed under the database key.
///
/// The tables have a `levi_` prefix, are STRICT and have migrations of their own, so the file may be the daemon's own
/// database. Calls from several threads wait for one another.
pub struct SqliteSessionStore {
    connection: Mutex<Connection>,
    /// Who signed in, if that could not be written so far. The connection is not asked for while this is locked.
    unwritten_user: Mutex<Option<UserId>>,
    cipher: Cipher,
    /// `None` for a file that a repair fills.
    _in_use: Option<InUse>,
}

impl SqliteSessionStore {
    /// Opens the file at `path` and creates it (0600) if it does not exist. Its folder must exist.
    ///
    /// Where no process has it open, its log is looked at before SQLite does, which takes no commit behind damage in the log
    /// and then writes over it.
    ///
    /// # Errors
    /// [`StoreError`]: of kind `Denied` for a wrong database key, a file written by a newer version, and missing
    /// permissions; `Corrupt` for a damaged file, of which a small one is checked whole; `Unavailable` for a busy or full
    /// disk, and while a repair runs. The file is unchanged then.
    pub fn open(path: impl AsRef<Path>, key: DatabaseKey) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
        let in_use = InUse::shared(path, BUSY_TIMEOUT, || {
            repair::finish(path).map_err(fail)?;
            integrity::of_log(path).map_err(fail)?.map_or(Ok(()), |damage| Err(Failure::Damaged(damage)))
        })?;
        Ok(Self { _in_use: Some(in_use), ..Self::create(path, key)? })
    }

    /// Whether a process has the store at `path` open, this one included.
    pub fn is_in_use(path: impl AsRef<Path>) -> bool {
        in_use::is_in_use(path.as_ref())
    }

    /// What is wrong with the file at `path`, whatever its size. It is not changed, and no key is needed.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be opened for another reason.
    pub fn problems(path: impl AsRef<Path>) -> Result<Vec<String>, StoreError> {
        let path = path.as_ref();
        let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
        // The log of a store that is open changes while it is read, and was looked at.
        if !Self::is_in_use(path)
            && let Some(damage) = integrity::of_log(path).map_err(fail)?
        {
            return Ok(vec![damage]);
        }
        Ok(integrity::problems(path)?)
    }

    /// The records of the file at `path` that do not open, though `key` is the right one: a bit of them flipped. It is not
    /// changed. Such a record hides no other one, and a secret counts as absent, so that it is fetched from the server.
    ///
    /// # Errors
    /// [`StoreError`]: of kind `Denied` for a wrong key; others if it cannot be read.
    pub fn unreadable_records(path: impl AsRef<Path>, key: DatabaseKey) -> Result<Vec<String>, StoreError> {
        Ok(integrity::unreadable(path.as_ref(), key)?)
    }

    /// Replaces a damaged file by one with everything that can be read of it; `None` if it is sound. The damaged file is
    /// kept beside the new one, unchanged.
    ///
    /// Only the session store's own tables are copied, so that a file with tables of the daemon's own is refused.
    ///
    /// # Errors
    /// [`StoreError`]: of kind `Unavailable` while a process has the store open, this one included; `Denied` if the key
    /// opens none of the records, or the file is the daemon's own database. The damaged file is in its place then.
    pub fn repair(path: impl AsRef<Path>, key: DatabaseKey) -> Result<Option<RepairedStore>, StoreError> {
        let path = path.as_ref();
        let fail = |source| Failure::CannotOpen { path: path.to_owned(), source };
        let _alone = InUse::alone(path)?;
        repair::finish(path).map_err(fail)?;
        let Some(cause) = integrity::damage(path, key.clone())? else { return Ok(None) };
        let records = records_of_pages(path).map_err(fail)?;
        Ok(Some(repair::rebuild(path, key, cause, records)?))
    }

    fn create(path: &Path, key: DatabaseKey) -> Result<Self, Failure> {
        create_private(path).map_err(|source| Failure::CannotOpen { path: path.to_owned(), source })?;
        Self::prepare(Connection::open(path)?, path, key)
    }

    fn prepare(mut connection: Connection, path: &Path, key: DatabaseKey) -> Result<Self, Failure> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        integrity::check_if_small(&connection, path)?;
        let cipher = Cipher::new(key);
        // A newer file and one of another key must stay unchanged, so both are checked before anything is set.
        schema::prepare(&mut connection, &cipher)?;
        use_wal(&connection)?;
        // On Apple's systems a plain `fsync` leaves the data in the drive's cache. Other systems ignore these.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        Ok(Self {
            connection: Mutex::new(connection),
            unwritten_user: Mutex::default(),
            cipher,
            _in_use: None,
        })
    }

    /// Stores a repository, or replaces the record with the same id.
    ///
    /// # Errors
    /// [`StoreError`]; the old record is still stored then.
    pub fn save_repository(&self, repository: &Repository) -> Result<(), StoreError> {
        Ok(self.durably(|connection| {
            REPOSITORIES.save(connection, &self.cipher, repository.id.as_str(), repository)
        })?)
    }

    /// Stores a session, or replaces the record with the same id.
    ///
    /// # Errors
    /// [`StoreError`]; the old record is still stored then.
    pub fn save_session(&self, session: &CodingSession) -> Result<(), StoreError> {
        Ok(self.durably(|connection| SESSIONS.save(connection, &self.cipher, session.id.as_str(), session))?)
    }

    /// Stores a session's secret. An earlier one is kept to read with. The session itself may be stored later.
    ///
    /// # Errors
    /// [`StoreError`]; the old secret is still stored then.
    pub fn save_secret(&self, session: &SessionId, secret: &SessionSecret) -> Result<(), StoreError> {
        // Exposed to be sealed.
        let secret = secret.expose();
        Ok(self.durably(|connection| {
            let before = SECRETS.load_text(connection, &self.cipher, session.as_str())?;
            if let Some(before) = before.filter(|before| before.expose() != secret) {
                let earlier = ReceivedSecret { secret: before, sender: None };
                let owner = user::owner(connection, session)?;
                let owner = owner.as_ref().map_or(received::NO_USER, UserId::as_str);
                received::keep(connection, &self.cipher, owner, session, &earlier)?;
            }
            SECRETS.save_bytes(connection, &self.cipher, session.as_str(), secret.as_bytes())
        })?)
    }

    /// All repositories of the user who signed in last, ordered by id. Damaged records are left out; see
    /// [`unreadable_records`](Self::unreadable_records).
    ///
    /// # Errors
    /// [`StoreError`] if the table cannot be read.
    pub fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        Ok(REPOSITORIES.all(&*self.of_user()?, &self.cipher)?)
    }

    /// All sessions of the user who signed in last, ordered by id. Damaged records are left out, as of
    /// [`repositories`](Self::repositories).
    ///
    /// # Errors
    /// [`StoreError`] if the table cannot be read.
    pub fn sessions(&self) -> Result<Vec<CodingSession>, StoreError> {
        Ok(SESSIONS.all(&*self.of_user()?, &self.cipher)?)
    }

    /// How much of a session is on the server; `None` before its first message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn progress(&self, session: &SessionId) -> Result<Option<Progress>, StoreError> {
        Ok(delivery::progress(&self.lock(), session)?)
    }

    /// The messages of a session that failed or were parked and have not been sent since, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsent(&self, session: &SessionId) -> Result<Vec<Unsent>, StoreError> {
        Ok(delivery::unsent(&self.lock(), session)?)
    }

    /// Removes a session: its record, its secret, and the delivery of its messages.
    ///
    /// # Errors
    /// [`StoreError`], also for a session of another user than the one who signed in last; nothing is removed then.
    pub fn remove_session(&self, session: &SessionId) -> Result<(), StoreError> {
        let mut connection = self.of_user()?;
        user::check_session(&connection, session)?;
        Ok(delivery::remove_session(&mut connection, session)?)
    }

    /// Makes a write, in one transaction, survive power loss. A session's secret cannot be made again, and messages on
    /// the server may already be sealed under it.
    fn durably<T>(&self, write: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut connection = self.of_user()?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let written = in_transaction(&mut connection, write);
        // Where this fails, later writes are slower and no less safe.
        let _ = connection.pragma_update(None, "synchronous", "NORMAL");
        written
    }

    /// The connection, once the file says who is signed in. Until then nothing is read or recorded, because it would be for
    /// the user before.
    fn of_user(&self) -> Result<MutexGuard<'_, Connection>, Failure> {
        let mut connection = self.lock();
        let mut unwritten = self.unwritten_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = &*unwritten {
            user::signed_in(&mut connection, user)?;
            *unwritten = None;
        }
        drop(unwritten);
        Ok(connection)
    }

    /// Ignores poisoning: after a panic in another thread, SQLite has rolled back its transaction.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for SqliteSessionStore {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        Ok(SECRETS.load_text(&*self.of_user()?, &self.cipher, session.as_str())?)
    }

    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        Ok(REPOSITORIES.load(&*self.of_user()?, &self.cipher, repository.as_str())?)
    }

    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        Ok(SESSIONS.load(&*self.of_user()?, &self.cipher, session.as_str())?)
    }

    fn last_sent(&self, session: &SessionId) -> Result<Option<i64>, StoreError> {
        Ok(self.progress(session)?.map(|progress| progress.last_sent))
    }

    fn session_user(&self, session: &SessionId) -> Result<Option<UserId>, StoreError> {
        Ok(user::owner(&self.lock(), session)?)
    }

    fn signed_in(&self, user: &UserId) -> Result<(), StoreError> {
        *self.unwritten_user.lock().unwrap_or_else(PoisonError::into_inner) = Some(user.clone());
        Ok(self.of_user().map(drop)?)
    }

    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        Ok(delivery::record(&mut connection, reports)?)
    }

    fn received_secrets(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> Result<Vec<ReceivedSecret>, StoreError> {
        Ok(received::of_session(&self.lock(), &self.cipher, user.as_str(), session)?)
    }

    fn keep_received_secret(
        &self,
        user: &UserId,
        session: &SessionId,
        received: &ReceivedSecret,
    ) -> Result<(), StoreError> {
        Ok(self.durably(|connection| {
            received::keep(connection, &self.cipher, user.as_str(), session, received)
        })?)
    }

    fn sender_keys(&self, user: &UserId, sender: &DeviceId) -> Result<Vec<String>, StoreError> {
        Ok(received::sender_keys(&self.lock(), user, sender)?)
    }
}

impl fmt::Debug for SqliteSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessionStore").finish_non_exhaustive()
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    write: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let written = write(&transaction)?;
    transaction.commit()?;
    Ok(written)
}

/// WAL with `synchronous = NORMAL`, which suits the delivery reports: power loss may lose the last few,
/// and the outbox, not this store, decides what is sent. Records are written with `FULL`.
///
/// The switch to WAL needs exclusive access. If another process reads the file, the slower defaults are used until
/// the next open.
fn use_wal(connection: &Connection) -> Result<(), Failure> {
    match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
        Ok(mode) if mode == "wal" => Ok(connection.pragma_update(None, "synchronous", "NORMAL")?),
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Creates the file with mode 0600, because SQLite would create it readable by others. SQLite gives its WAL and shared
/// memory files the same mode.
fn create_private(path: &Path) -> io::Result<()> {
    /// Closing a file drops all POSIX locks that this process has on it, including SQLite's. So no other thread may
    /// open the database between the creation here and the close.
    static CREATING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseKey, SqliteSessionStore};

    #[test]
    fn a_record_is_written_so_that_it_survives_power_loss() {
        let folder = tempfile::tempdir().unwrap();
        let key = DatabaseKey::from_bytes([1; 32]);
        let store = SqliteSessionStore::open(folder.path().join("store.sqlite"), key).unwrap();
        let synchronous = |connection: &rusqlite::Connection| {
            Ok(connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))?)
        };
        // 2 is FULL, 1 is NORMAL.
        assert_eq!(store.durably(synchronous).unwrap(), 2);
        assert_eq!(synchronous(&store.lock()).unwrap(), 1);
        for name in ["fullfsync", "checkpoint_fullfsync"] {
            let set: i64 = store.lock().pragma_query_value(None, name, |row| row.get(0)).unwrap();
            assert_eq!(set, 1, "{name}");
        }
    }
}
