//! Changes by an operator, beside the owner process or without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use levi_types::{UserId, Wall};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::columns::{lane_key, unsigned};
use super::counters::Counters;
#[cfg(unix)]
use super::file_id::FileId;
use super::lane_cache::LaneCache;
use super::notify::notify_owner;
use super::open::{self, require_current, sync_to_the_platter};
use super::owner_lock::is_owned;
use super::repair_lock::RepairLock;
use super::{blocking, change, enqueue, failure, recovery, schema};
use crate::error::OutboxError;
use crate::model::{Change, Enqueued, LaneKey, NewRow, RowId};

/// The commands that an operator may apply to an outbox while its owner works on it.
///
/// Each command is safe at any time, because the owner compares versions before it relies on what
/// it has read earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminCommand {
    /// Put a parked row back into its lane, due now. Does nothing to a row that is not parked.
    Unpark(RowId),
    /// Remove a row for good. Refused for a row that other rows wait for.
    Discard(RowId),
    /// Make every deferred lane due now.
    RetryNow,
    /// Write a session that was deleted elsewhere to the server again: its row, its secret, and its
    /// rows in the outbox.
    RestoreSession {
        /// The control rows of the session and of what it depends on, parents first.
        rows: Vec<NewRow>,
    },
}

/// Why an [`AdminCommand`] was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The outbox failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The row cannot be discarded, because the rows that wait for it could never be sent.
    #[error(
        "row {row} ({lane}) cannot be discarded: {waiting} other rows wait for it; discard those first, or retry it",
        row = .row.0
    )]
    RowsWait {
        /// The row that was to be discarded.
        row: RowId,
        /// Its lane.
        lane: LaneKey,
        /// How many rows wait for it, pending and parked.
        waiting: u64,
    },
    /// The outbox is being repaired, or a repair was interrupted, which would undo the change.
    #[error(
        "the outbox at {path} is being repaired, or a repair was interrupted; start the daemon or run `levi outbox repair`, \
         and repeat the command after that",
        path = .path.display()
    )]
    UnderRepair {
        /// The outbox.
        path: PathBuf,
    },
    /// Another file has taken the outbox's place since it was opened, as after a repair, with other row ids.
    #[error(
        "the outbox at {path} was replaced while the command ran, as a repair does; list its rows, and repeat the command",
        path = .path.display()
    )]
    Replaced {
        /// The outbox.
        path: PathBuf,
    },
    /// A session or repository is another user's than the one who signed in last.
    #[error(
        "{lane} is user {}'s, who is not signed in; sign in as that user first",
        .user_id.as_ref().map_or("nobody", UserId::as_str)
    )]
    OtherUser {
        /// The row's lane.
        lane: LaneKey,
        /// Whose it is; `None`: nobody has signed in yet.
        user_id: Option<UserId>,
    },
}

/// Whether an owner process acts on the changes of an [`OutboxAdmin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerNotice {
    /// The owner process was notified.
    Notified,
    /// An owner process exists, or may exist, but does not listen: it reads the changes when it
    /// wakes up next.
    NotListening,
    /// No process owns the outbox.
    NoOwner,
}

/// Changes an outbox without owning it, for `levi outbox retry` beside a daemon or without one.
#[derive(Debug)]
pub struct OutboxAdmin {
    conn: Connection,
    path: PathBuf,
    /// The file that was opened, which a recovery may have replaced since.
    #[cfg(unix)]
    file: FileId,
}

impl OutboxAdmin {
    /// Opens an existing outbox, in a file of its own or in a daemon's database.
    ///
    /// # Errors
    /// [`OutboxError::CannotOpen`] if there is no such file, or no outbox of this version in it;
    /// the others as named.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OutboxError> {
        let path = open::resolve(path.as_ref())?;
        #[cfg(unix)]
        let file = FileId::of(&path).map_err(|error| failure::from_io(error, &path))?;
        let fail = |error| failure::from_sqlite(error, &path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        conn.busy_timeout(Duration::from_secs(5)).map_err(fail)?;
        conn.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
        sync_to_the_platter(&conn).map_err(fail)?;
        require_current(schema::find(&conn).map_err(fail)?, &path)?;
        Ok(Self {
            conn,
            path,
            #[cfg(unix)]
            file,
        })
    }

    /// Carries out the commands in order, all or none, and notifies the owner process. `at` is the
    /// time to write as due.
    ///
    /// # Errors
    /// [`AdminError`]; nothing was changed.
    pub fn commit(&mut self, commands: &[AdminCommand], at: Wall) -> Result<OwnerNotice, AdminError> {
        let path = &self.path;
        let no_repair = RepairLock::shared(path)?.filter(|_| !recovery::is_interrupted(path));
        let Some(_no_repair) = no_repair else {
            return Err(AdminError::UnderRepair { path: path.clone() });
        };
        #[cfg(unix)]
        if self.file.check(path).is_err() {
            return Err(AdminError::Replaced { path: path.clone() });
        }
        let fail = |error| failure::from_sqlite(error, path);
        let transaction =
            self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        let mut counters = Counters::load(&transaction).map_err(fail)?;
        for command in commands {
            if let Some(refusal) = refuse(&transaction, command).map_err(fail)? {
                return Err(refusal);
            }
            command.apply(&transaction, &mut counters, at).map_err(fail)??;
        }
        counters.save(&transaction).map_err(fail)?;
        transaction.commit().map_err(fail)?;
        Ok(self.notify())
    }

    fn notify(&self) -> OwnerNotice {
        if notify_owner(&self.path).is_ok() {
            return OwnerNotice::Notified;
        }
        match is_owned(&self.path) {
            Ok(false) => OwnerNotice::NoOwner,
            Ok(true) | Err(_) => OwnerNotice::NotListening,
        }
    }
}

impl AdminCommand {
    /// Inside the caller's transaction, which is not committed after a refusal.
    fn apply(
        &self,
        conn: &Connection,
        counters: &mut Counters,
        at: Wall,
    ) -> rusqlite::Result<Result<(), AdminError>> {
        let change = match self {
            Self::Unpark(row) => Change::Unpark { row: *row, at },
            Self::Discard(row) => Change::Discard { row: *row },
            Self::RetryNow => Change::RetryNow { at },
            Self::RestoreSession { rows } => return store(conn, counters, rows),
        };
        change::apply(conn, counters, &change).map(Ok)
    }
}

/// Stores control rows, which no bound refuses: all, or none.
fn store(
    conn: &Connection,
    counters: &mut Counters,
    rows: &[NewRow],
) -> rusqlite::Result<Result<(), AdminError>> {
    let answers = enqueue::store_rows(conn, counters, &mut LaneCache::default(), rows, u64::MAX)?;
    let refused = rows.iter().zip(answers).find_map(|(row, answer)| match answer {
        Enqueued::OtherUser { user_id } => Some(AdminError::OtherUser { lane: row.lane.clone(), user_id }),
        _ => None,
    });
    Ok(refused.map_or(Ok(()), Err))
}

const LANE_OF_ROW: &str = "SELECT lane, kind, subject FROM levi_lanes WHERE lane = coalesce(\
     (SELECT lane FROM levi_outbox WHERE id = ?1), (SELECT lane FROM levi_parked WHERE id = ?1))";

/// Says why a command must not be carried out now.
fn refuse(conn: &Connection, command: &AdminCommand) -> rusqlite::Result<Option<AdminError>> {
    let AdminCommand::Discard(row) = *command else { return Ok(None) };
    let lane = conn
        .prepare_cached(LANE_OF_ROW)?
        .query_row([row.0], |found| Ok((found.get::<_, i64>(0)?, lane_key(found, 1)?)))
        .optional()?;
    let Some((id, lane)) = lane else { return Ok(None) };
    let waiting = unsigned(blocking::waiting_rows(conn, id)?);
    Ok((waiting > 0).then_some(AdminError::RowsWait { row, lane, waiting }))
}
