//! The session store in SQLite.
//!
//! ```text
//! levi_store_repositories  id, record    record = wrapped JSON of the repository
//! levi_store_sessions      id, record    record = wrapped JSON of the session
//! levi_store_secrets       id, secret    secret = wrapped text of the session's secret
//! levi_store_progress      session_id, last_sent, sent
//! levi_store_unsent        session_id, sequence_number, message_id, state, code
//! levi_store_schema        version, key_check
//! ```
//!
//! `wrapped` is [`levi_crypto::at_rest`] under the database key, bound to table, id and column. Ids, sequence
//! numbers and codes lie in the clear; names, paths, titles and secrets do not.

mod delivery;
mod failure;
mod records;
mod schema;
mod vault;

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_crypto::SessionSecret;
use levi_crypto::at_rest::DatabaseKey;
use levi_types::{
    CodingSession, DeliveryReport, Repository, RepositoryId, SecretString, SessionId, SessionStore,
    StoreError,
};
use rusqlite::{Connection, ErrorCode};

pub use delivery::{Progress, Unsent, UnsentState};
use failure::Failure;
use records::{REPOSITORIES, SECRETS, SESSIONS};
use vault::Vault;

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Repositories, sessions and their secrets in one SQLite file, wrapped under the database key.
///
/// The tables have a `levi_` prefix, are STRICT and bring their own migrations, so the file may be the daemon's own
/// database. Calls from several threads take turns.
pub struct SqliteSessionStore {
    connection: Mutex<Connection>,
    vault: Vault,
}

impl SqliteSessionStore {
    /// Opens the file at `path`, which is created (0600) if it is not there; its folder must exist.
    ///
    /// # Errors
    /// [`StoreError`]: of kind `Denied` for a wrong database key, a file written by a newer version, and missing
    /// permissions; `Corrupt` for a damaged file; `Unavailable` for a busy or full disk. The file is then as it was.
    pub fn open(path: impl AsRef<Path>, key: DatabaseKey) -> Result<Self, StoreError> {
        let path = path.as_ref();
        create_private(path).map_err(|source| Failure::CannotOpen { path: path.to_owned(), source })?;
        Ok(Self::prepare(Connection::open(path).map_err(Failure::from)?, key)?)
    }

    fn prepare(mut connection: Connection, key: DatabaseKey) -> Result<Self, Failure> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let vault = Vault::new(key);
        // A newer file and one of another key stay as they are, so both are looked at before anything is set.
        schema::prepare(&mut connection, &vault)?;
        use_wal(&connection)?;
        Ok(Self { connection: Mutex::new(connection), vault })
    }

    /// Keeps a repository, in place of what was known of it.
    ///
    /// # Errors
    /// [`StoreError`]; what was known before is still there.
    pub fn save_repository(&self, repository: &Repository) -> Result<(), StoreError> {
        Ok(REPOSITORIES.save(&self.lock(), &self.vault, repository.id.as_str(), repository)?)
    }

    /// Keeps a session, in place of what was known of it.
    ///
    /// # Errors
    /// [`StoreError`]; what was known before is still there.
    pub fn save_session(&self, session: &CodingSession) -> Result<(), StoreError> {
        Ok(SESSIONS.save(&self.lock(), &self.vault, session.id.as_str(), session)?)
    }

    /// Keeps a session's secret, in place of an older one. The session itself may come later.
    ///
    /// # Errors
    /// [`StoreError`]; the older secret is still there.
    pub fn save_secret(&self, session: &SessionId, secret: &SessionSecret) -> Result<(), StoreError> {
        // Exposed to be wrapped.
        Ok(SECRETS.save_bytes(&self.lock(), &self.vault, session.as_str(), secret.expose().as_bytes())?)
    }

    /// All repositories, ordered by id.
    ///
    /// # Errors
    /// [`StoreError`] when one of them cannot be read.
    pub fn repositories(&self) -> Result<Vec<Repository>, StoreError> {
        Ok(REPOSITORIES.all(&self.lock(), &self.vault)?)
    }

    /// All sessions, ordered by id.
    ///
    /// # Errors
    /// [`StoreError`] when one of them cannot be read.
    pub fn sessions(&self) -> Result<Vec<CodingSession>, StoreError> {
        Ok(SESSIONS.all(&self.lock(), &self.vault)?)
    }

    /// How far a session has been sent; `None` before its first message was.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub fn progress(&self, session: &SessionId) -> Result<Option<Progress>, StoreError> {
        Ok(delivery::progress(&self.lock(), session)?)
    }

    /// The messages of a session that failed or were parked and have not been sent since, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot answer.
    pub fn unsent(&self, session: &SessionId) -> Result<Vec<Unsent>, StoreError> {
        Ok(delivery::unsent(&self.lock(), session)?)
    }

    /// Forgets a session: its record, its secret, and what became of its messages.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    pub fn remove_session(&self, session: &SessionId) -> Result<(), StoreError> {
        let mut connection = self.lock();
        Ok(delivery::remove_session(&mut connection, session)?)
    }

    /// A panic in another thread left no half-done write behind: SQLite rolled it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStore for SqliteSessionStore {
    fn session_secret(&self, session: &SessionId) -> Result<Option<SecretString>, StoreError> {
        Ok(SECRETS.load_text(&self.lock(), &self.vault, session.as_str())?)
    }

    fn repository(&self, repository: &RepositoryId) -> Result<Option<Repository>, StoreError> {
        Ok(REPOSITORIES.load(&self.lock(), &self.vault, repository.as_str())?)
    }

    fn session(&self, session: &SessionId) -> Result<Option<CodingSession>, StoreError> {
        Ok(SESSIONS.load(&self.lock(), &self.vault, session.as_str())?)
    }

    fn record(&self, reports: &[DeliveryReport]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        Ok(delivery::record(&mut connection, reports)?)
    }
}

impl fmt::Debug for SqliteSessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSessionStore").finish_non_exhaustive()
    }
}

/// WAL with `synchronous = NORMAL`. Losing the last few writes to a power cut is harmless here: the daemon saves again
/// what it still has, and the outbox, not this store, decides what is sent.
///
/// The switch to WAL needs the file for itself. Where somebody else reads it just now, the safe defaults stay until
/// the next start; the switch is for speed only.
fn use_wal(connection: &Connection) -> Result<(), Failure> {
    match connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
        Ok(mode) if mode == "wal" => Ok(connection.pragma_update(None, "synchronous", "NORMAL")?),
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// SQLite would create the file for everybody. Its WAL and shared memory files take their mode from it.
fn create_private(path: &Path) -> io::Result<()> {
    /// Closing a file drops all POSIX locks that this process has on it, those of SQLite included. So no other thread
    /// may get to SQLite between the creation here and the close.
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
