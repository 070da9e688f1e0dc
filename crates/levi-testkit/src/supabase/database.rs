//! The tables, and the order in which messages become visible.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, TransactionBehavior};

use super::lock;
use super::rest::error::RestError;
use super::rest::{Applied, Written};
use super::schema;
use super::value::{Cell, Uuid};

/// One in-memory database behind one lock. Requests are parsed before they take the lock.
pub(crate) struct Database(Mutex<Inner>);

struct Inner {
    connection: Connection,
    order: Order,
}

/// One message that a request wrote.
pub(crate) struct MessageWrite {
    session: Uuid,
    sequence_number: i64,
    inserted: bool,
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

/// The order in which messages became visible.
#[derive(Default)]
struct Order {
    /// The highest visible sequence number of each session.
    highest: HashMap<Uuid, i64>,
    violations: Vec<(Uuid, i64, i64)>,
    rewritten: u64,
}

impl Order {
    /// Rows of one commit become visible together, so they are compared with earlier commits only.
    fn committed(&mut self, writes: &[MessageWrite]) {
        for write in writes {
            if !write.inserted {
                self.rewritten += 1;
            } else if let Some(highest) = self.highest.get(&write.session)
                && write.sequence_number < *highest
            {
                self.violations.push((write.session, write.sequence_number, *highest));
            }
        }
        for write in writes {
            let highest = self.highest.entry(write.session).or_insert(write.sequence_number);
            *highest = (*highest).max(write.sequence_number);
        }
    }
}

impl Database {
    pub(crate) fn open() -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA journal_mode = MEMORY;")?;
        connection.execute_batch(&schema::ddl())?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Self(Mutex::new(Inner { connection, order: Order::default() })))
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
        let Inner { connection, order } = &mut *inner;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (value, messages) = write(&transaction)?;
        transaction.commit()?;
        // Under the lock of the commit, because otherwise two commits could be recorded in the wrong order.
        order.committed(&messages);
        Ok(value)
    }

    pub(crate) fn add_user(&self, user: Uuid) -> Result<(), rusqlite::Error> {
        self.read(|connection| {
            connection.execute("INSERT OR IGNORE INTO users (id) VALUES (?)", [&user.0[..]]).map(|_| ())
        })
    }

    /// Forgets what was visible, because a deletion removed some of it.
    pub(crate) fn forget_order(&self) {
        self.inner().order.highest.clear();
    }

    /// The session, the late sequence number, and the highest one that was visible before.
    pub(crate) fn violations(&self) -> Vec<(Uuid, i64, i64)> {
        self.inner().order.violations.clone()
    }

    pub(crate) fn rewritten(&self) -> u64 {
        self.inner().order.rewritten
    }
}
