//! The outcome of recovering a damaged file.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What was recovered from a damaged outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// The damaged file, unchanged, with SQLite's companion files beside it.
    pub quarantined: PathBuf,
    /// What was found damaged first.
    pub cause: String,
    /// Pending messages that are in the fresh outbox.
    pub rows: u64,
    /// Parked messages that are in it.
    pub parked: u64,
    /// Rows of repositories, sessions and secrets that are in it, parked ones included.
    pub control_rows: u64,
    /// How many of the rows above may have been sent or discarded before, because nothing in the
    /// damaged file shows that they still belong to it.
    pub uncertain: u64,
    /// Rows of every kind that could not be read; `None` if the number of rows is not known.
    pub lost: Option<u64>,
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quarantined, cause, rows, parked, control_rows, uncertain, lost } = self;
        write!(
            f,
            "the outbox was damaged ({cause}): {rows} pending and {parked} parked messages and {control_rows} \
             rows of repositories, sessions and secrets were recovered, "
        )?;
        if *uncertain > 0 {
            write!(f, "{uncertain} of which may have been sent before, ")?;
        }
        match lost {
            Some(lost) => write!(f, "{lost} rows were lost")?,
            None => write!(f, "the number of lost rows is not known")?,
        }
        write!(f, "; the damaged file is {}", quarantined.display())
    }
}
