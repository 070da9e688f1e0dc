//! The tables.

use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, TransactionBehavior};

use super::arrival::Arrivals;
use super::lock;
use super::rest::error::RestError;
use super::rest::{Applied, Written};
use super::schema;
use super::value::{Cell, Uuid};

/// One in-memory database behind one lock. Requests are parsed before they take the lock.
pub(crate) struct Database(Mutex<Inner>);

struct Inner {
    connection: Connection,
    arrivals: Arrivals,
}

/// One message that a request wrote.
pub(crate) struct MessageWrite {
    pub(crate) session: Uuid,
    pub(crate) sequence_number: i64,
    pub(crate) inserted: bool,
}

impl MessageWrite {
    pub(crate) fn of(applied: &Applied<'_>) -> Vec<Self> {
        let write = |(row, written): (&Vec<Cell<'_>>, &Written)| {
            let (Cell::Uuid(session), Cell::Int(sequence_number)) = (row.first()?, row.get(1)?) else {
                return None;
            };
            let inserted = match written {
                Written::Inserted(_) => true,
                Written::Updated(_) | Written::Ignored => false,
            };
            Some(Self { session: *session, sequence_number: *sequence_number, inserted })
        };
        applied.rows.iter().zip(&applied.written).filter_map(write).collect()
    }
}

impl Database {
    pub(crate) fn open() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA journal_mode = MEMORY;")?;
        connection.execute_batch(&schema::ddl())?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Self(Mutex::new(Inner { connection, arrivals: Arrivals::default() })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.0)
    }

    pub(crate) fn read<T, E>(&self, read: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        read(&self.inner().connection)
    }

    /// Runs `write` in a transaction; an error undoes all of it.
    pub(crate) fn write<T>(
        &self,
        write: impl FnOnce(&Connection) -> Result<(T, Vec<MessageWrite>), RestError>,
    ) -> Result<T, RestError> {
        let mut inner = self.inner();
        let Inner { connection, arrivals } = &mut *inner;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (value, messages) = write(&transaction)?;
        transaction.commit()?;
        // Under the lock of the commit, because otherwise two commits could be recorded in the
        // wrong order.
        arrivals.committed(&messages);
        Ok(value)
    }

    pub(crate) fn add_user(&self, user: Uuid) -> Result<(), rusqlite::Error> {
        self.read(|connection| {
            connection.execute("INSERT OR IGNORE INTO users (id) VALUES (?)", [&user.0[..]]).map(|_| ())
        })
    }

    /// Forgets what was visible, because a deletion removed some of it.
    pub(crate) fn forget_order(&self) {
        self.inner().arrivals.forget();
    }

    /// The session, the late sequence number, and the highest one that was visible before.
    pub(crate) fn violations(&self) -> Vec<(Uuid, i64, i64)> {
        self.inner().arrivals.late()
    }

    /// See [`Arrivals::overtaken`].
    pub(crate) fn overtaken(&self, session: Uuid, enqueued: &[i64]) -> Vec<(i64, i64)> {
        self.inner().arrivals.overtaken(session, enqueued)
    }

    pub(crate) fn rewritten(&self) -> u64 {
        self.inner().arrivals.rewritten()
    }
}
