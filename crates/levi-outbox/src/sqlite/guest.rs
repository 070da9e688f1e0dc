//! Changes by hand, beside the owner or without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::ledger::Ledger;
use super::open::refuse_newer;
use super::schema::{self, Found};
use super::{change, failure};
use crate::error::OutboxError;
use crate::model::{Change, RowId};
use levi_types::Wall;

/// What a person may do to an outbox while its owner is at work. Each is sound at any moment: the owner looks at
/// versions before it believes what it read earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByHand {
    /// As [`Change::Unpark`].
    Unpark(RowId),
    /// As [`Change::Discard`].
    Discard(RowId),
    /// As [`Change::UnparkTask`].
    UnparkTask(String),
    /// As [`Change::DiscardTask`].
    DiscardTask(String),
    /// As [`Change::RetryNow`].
    RetryNow,
}

impl ByHand {
    fn change(&self, at: Wall) -> Change {
        match self {
            Self::Unpark(row) => Change::Unpark { row: *row, at },
            Self::Discard(row) => Change::Discard { row: *row },
            Self::UnparkTask(name) => Change::UnparkTask { name: name.clone(), at },
            Self::DiscardTask(name) => Change::DiscardTask { name: name.clone() },
            Self::RetryNow => Change::RetryNow { at },
        }
    }
}

/// Changes an outbox without owning it: for `levi outbox retry` while a daemon runs and when none does.
///
/// An owner that sleeps does not notice by itself; tell it.
#[derive(Debug)]
pub struct Guest {
    conn: Connection,
    path: PathBuf,
}

impl Guest {
    /// Opens an existing outbox, of its own file or in a daemon's database.
    ///
    /// # Errors
    /// [`OutboxError::CannotOpen`] if there is no such file, or no outbox of this version in it; the others as named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let path = path.as_ref().to_owned();
        let fail = |error| failure::from_sqlite(error, &path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
        conn.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        let found = schema::find(&conn).map_err(fail)?;
        refuse_newer(found)?;
        match found {
            Found::Older(_) => Err(failure::cannot_open("an older Levi wrote it; start Levi once", &path)),
            _ => Ok(Self { conn, path }),
        }
    }

    /// Makes the changes in order, all or none. `at` is the time to write as due.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was changed.
    pub fn commit(&mut self, changes: &[ByHand], at: Wall) -> Result<(), OutboxError> {
        self.write(changes, at).map_err(|error| failure::from_sqlite(error, &self.path))
    }

    fn write(&mut self, changes: &[ByHand], at: Wall) -> rusqlite::Result<()> {
        let transaction = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut ledger = Ledger::load(&transaction)?;
        for by_hand in changes {
            change::apply(&transaction, &mut ledger, &by_hand.change(at))?;
        }
        ledger.store(&transaction)?;
        transaction.commit()
    }
}
