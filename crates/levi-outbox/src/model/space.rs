//! What an outbox takes of the disk.

use serde::Serialize;

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Length of the database.
    pub file_bytes: u64,
    /// How many of these bytes are free and can be given back while Levi is idle. Free pages do not
    /// count in a file of an earlier version that was too large to be rewritten, because they can
    /// only be reused for later rows.
    pub free_bytes: u64,
    /// Length of the write-ahead log beside it.
    pub log_bytes: u64,
    /// What damaged files take that are kept beside it, as of when it was opened. They may be removed.
    pub quarantined_bytes: u64,
    /// Whether the log cannot be shortened because another connection reads the database.
    pub log_is_held: bool,
    /// Another process that reads the database, where the log is longer than 16 MiB and the system names one (Linux).
    pub log_reader: Option<u32>,
}

/// What a step of giving space back did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenBack {
    /// What the outbox takes after it.
    pub space: Space,
    /// Whether it came closer.
    pub progress: Progress,
}

/// Whether a step of giving space back came closer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It did.
    Made,
    /// A thread of the outbox's own is at work, and no step can be taken before it ends.
    Underway,
    /// It did not, and the next one will not either, unless something else happens.
    None,
}
