//! What an outbox takes of the disk.

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Length of the database.
    pub file_bytes: u64,
    /// How much of it is free: it is used again by later rows, or given back while Levi is idle.
    pub free_bytes: u64,
    /// Length of the write-ahead log beside it.
    pub log_bytes: u64,
    /// Whether the log cannot be shortened because another connection reads the database.
    pub log_is_held: bool,
}
