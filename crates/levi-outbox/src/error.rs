use std::error::Error;
use std::path::PathBuf;

/// Why the outbox could not do what was asked. What was committed before is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The disk, or the quota on it, is full.
    #[error("the disk is full; free some space and Levi goes on by itself")]
    DiskFull(#[source] Source),
    /// The database may be read but not written.
    #[error("the outbox is read-only; check the permissions of the file and its folder")]
    ReadOnly(#[source] Source),
    /// Somebody else holds a lock for now.
    #[error("the outbox is locked by another process for now")]
    Locked(#[source] Source),
    /// Another process owns this outbox (G10).
    #[error("another process owns the outbox at {path}; stop it first, or use an outbox of your own", path = .path.display())]
    Owned {
        /// The outbox.
        path: PathBuf,
    },
    /// The folder is missing or may not be used.
    #[error("the outbox at {path} cannot be opened; check that the folder exists and belongs to you", path = .path.display())]
    CannotOpen {
        /// The outbox.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Source,
    },
    /// Written by a newer Levi.
    #[error("the outbox has schema {found}, this Levi knows up to {known}; update Levi")]
    NewerSchema {
        /// The file's schema.
        found: i64,
        /// The newest this version can read.
        known: i64,
    },
    /// The file is damaged or is no database.
    #[error(
        "the outbox is damaged; the next start, or `levi sync`, sets it aside and recovers what is readable"
    )]
    Corrupt(#[source] Source),
    /// Anything else, of which retrying may or may not help.
    #[error("the outbox failed")]
    Other(#[source] Source),
}

/// What the layer below said. Never carries a payload.
pub type Source = Box<dyn Error + Send + Sync>;

impl OutboxError {
    /// Whether the same call may succeed later without a person doing something about this Levi.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull(_) | Self::Locked(_) | Self::ReadOnly(_) | Self::Other(_))
    }
}
