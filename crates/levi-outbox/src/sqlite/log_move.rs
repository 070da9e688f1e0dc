//! Moving the log into the database on a thread of its own: it syncs both files, which may take much longer than storing a
//! message, and a message that comes meanwhile does not wait for it.

use std::io;
use std::path::Path;
use std::thread::{Builder, JoinHandle};

use rusqlite::{Connection, OpenFlags, Result};

use super::open;

/// Steps that cut pages off before the log is moved: each writes some dozens of pages to the log.
const CUTS: u32 = 16;

/// What became of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// All of it, as it was at the start, is in the database.
    Whole,
    /// A reader still needs some of it.
    Held,
    /// It could not be tried: another connection was at it, or the disk fails.
    Not,
}

/// When the log is moved, and the thread that does it.
#[derive(Debug, Default)]
pub(super) struct LogMove {
    thread: Option<JoinHandle<Moved>>,
    /// Steps that cut pages off since it was moved.
    cuts: u32,
    /// Whether the log has nothing that is not in the database.
    is_moved: bool,
}

impl LogMove {
    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// What the thread that has ended since the last call did.
    pub(super) fn take_outcome(&mut self) -> Option<Moved> {
        // A thread that panicked did not move it.
        let moved = self.thread.take()?.join().unwrap_or(Moved::Not);
        self.is_moved &= moved == Moved::Whole;
        Some(moved)
    }

    /// Something was written to the log.
    pub(super) fn written(&mut self) {
        self.is_moved = false;
    }

    /// Pages were cut off, which the log has.
    pub(super) fn cut(&mut self) {
        self.cuts += 1;
        self.written();
    }

    /// Whether the log is short enough for another cut.
    pub(super) const fn permits_cut(&self) -> bool {
        self.cuts < CUTS
    }

    /// Whether the log could be emptied without moving anything.
    pub(super) const fn is_moved(&self) -> bool {
        self.is_moved
    }

    /// Starts to move the log of the database at `path`.
    pub(super) fn start(&mut self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        let work = move || {
            move_log(&path).unwrap_or_else(|error| {
                tracing::warn!("the outbox's log was not moved into the database: {error}");
                Moved::Not
            })
        };
        self.thread = Some(Builder::new().name("levi-log".into()).spawn(work)?);
        (self.cuts, self.is_moved) = (0, true);
        Ok(())
    }
}

impl Drop for LogMove {
    fn drop(&mut self) {
        // It uses the files, so that it ends before the next owner may open them.
        self.take_outcome();
    }
}

/// `PASSIVE` waits for nobody and keeps nobody waiting.
fn move_log(path: &Path) -> Result<Moved> {
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    open::sync_to_the_platter(&conn)?;
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, frames, moved): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(match frames - moved {
            _ if busy => Moved::Not,
            0 => Moved::Whole,
            _ => Moved::Held,
        })
    })
}
