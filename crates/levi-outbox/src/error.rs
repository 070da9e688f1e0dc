use std::error::Error;
use std::path::PathBuf;

/// Why an operation of the outbox failed. Rows that were committed before are still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The disk, or the quota on it, is full.
    #[error("the disk is full; free some space, and Levi resumes by itself")]
    DiskFull(#[source] Source),
    /// The database may be read but not written.
    #[error("the outbox is read-only; check the permissions of the file and its folder")]
    ReadOnly(#[source] Source),
    /// Another process holds a lock; it may be released soon.
    #[error("another process has locked the outbox; try again")]
    Locked(#[source] Source),
    /// Another process owns this outbox. Nothing was changed.
    #[error("another process owns the outbox at {path}; stop it first, or use an outbox of your own", path = .path.display())]
    Owned {
        /// The outbox.
        path: PathBuf,
    },
    /// The folder is missing, or its permissions forbid access.
    #[error("the outbox at {path} cannot be opened; check that the folder exists and belongs to you", path = .path.display())]
    CannotOpen {
        /// The outbox.
        path: PathBuf,
        /// The error of the system or of SQLite.
        #[source]
        source: Source,
    },
    /// Written by a newer Levi.
    #[error("the outbox has schema {found}, and this version of Levi knows up to {known}; update Levi")]
    NewerSchema {
        /// The file's schema.
        found: i64,
        /// The newest this version can read.
        known: i64,
    },
    /// The file is damaged or is no database.
    #[error(
        "the outbox is damaged; the next start, or `levi sync`, quarantines the file and recovers what is readable"
    )]
    Corrupt(#[source] Source),
    /// Any other failure; trying again may or may not help.
    #[error("the outbox failed")]
    Other(#[source] Source),
}

/// The error of the layer below. It contains no payload.
pub type Source = Box<dyn Error + Send + Sync>;

impl OutboxError {
    /// Whether the same call may succeed later without an operator changing anything in this
    /// installation.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::DiskFull(_) | Self::Locked(_) | Self::ReadOnly(_) | Self::Other(_))
    }
}
