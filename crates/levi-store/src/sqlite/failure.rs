use std::io;
use std::path::PathBuf;

use levi_crypto::{OpenError, SealError};
use levi_types::{PortErrorKind, StoreError, UserId};
use rusqlite::ErrorCode;

/// An error of this store, before its conversion to [`StoreError`]. No variant contains a stored value.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot open {path}: {source}; check that its folder exists and belongs to you", path = .path.display())]
    CannotOpen {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "this is not the database key of the store; restore the key that the store was created with, or move the file away"
    )]
    WrongKey,
    #[error(
        "the file is damaged ({0}); `levi outbox repair`, or `SqliteSessionStore::repair`, copies what can be read to a new file and keeps the damaged one"
    )]
    Damaged(String),
    #[error(
        "the file has tables of the daemon's own, which a repair would lose; repair that database with its own tools"
    )]
    OtherTables,
    #[error("a process has the session store open, and would go on with the damaged one; stop it first")]
    InUse,
    #[error("the session store is being repaired; try again later")]
    UnderRepair,
    #[error("it has schema {found}, this Levi knows up to {known}; update Levi")]
    NewerSchema { found: i64, known: i64 },
    #[error(
        "{id} in {table} is user {owner}'s, who is not signed in; it is there again when that user signs in"
    )]
    OtherUser { table: &'static str, id: String, owner: UserId },
    #[error("{id} in {table} does not open: {source}; save it again or restore the file from a backup")]
    Record {
        table: &'static str,
        id: String,
        #[source]
        source: OpenError,
    },
    // The text of serde_json's error can quote a value, so it is not shown.
    #[error("a record has another form than this version of Levi writes; save it again")]
    Json(serde_json::Error),
    #[error("the system has no random numbers, which encryption needs; try again later")]
    NoRandomness,
    #[error(transparent)]
    TooLong(#[from] SealError),
    #[error("{advice} ({0})", advice = advice(.0))]
    Sqlite(#[from] rusqlite::Error),
}

impl Failure {
    /// Whether the file itself is at fault.
    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Sqlite(_)) && self.kind() == PortErrorKind::Corrupt
    }

    fn kind(&self) -> PortErrorKind {
        match self {
            Self::CannotOpen { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => PortErrorKind::Unavailable,
                _ => PortErrorKind::Denied,
            },
            Self::NoRandomness | Self::InUse | Self::UnderRepair => PortErrorKind::Unavailable,
            Self::WrongKey | Self::NewerSchema { .. } | Self::OtherUser { .. } | Self::OtherTables => {
                PortErrorKind::Denied
            }
            Self::Damaged(_) => PortErrorKind::Corrupt,
            Self::Record { .. } | Self::Json(_) | Self::TooLong(_) => PortErrorKind::Corrupt,
            Self::Sqlite(error) => sqlite_kind(error),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure)
    }
}

fn sqlite_kind(error: &rusqlite::Error) -> PortErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => PortErrorKind::Corrupt,
        Some(
            ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::AuthorizationForStatementDenied,
        ) => PortErrorKind::Denied,
        Some(_) => PortErrorKind::Unavailable,
        // Not an error of SQLite but of the data: a column of another type, a missing row.
        None => PortErrorKind::Corrupt,
    }
}

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another process is writing to it",
        Some(ErrorCode::DiskFull) => "the disk is full, free some space",
        Some(ErrorCode::ReadOnly) => "it cannot be written, check the permissions of the file and its folder",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the file is damaged or not a database; `levi outbox repair` copies what can be read to a new one, and keeps it"
        }
        _ => "SQLite failed",
    }
}
