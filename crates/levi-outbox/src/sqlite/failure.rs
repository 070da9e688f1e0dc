//! Maps errors of SQLite and of files to [`OutboxError`].

use std::io;
use std::path::Path;

use rusqlite::{Error, ErrorCode, ffi};

use crate::error::OutboxError;

/// `SQLITE_IOERR_CORRUPTFS`, which not every version's bindings name.
const IOERR_CORRUPTFS: i32 = ffi::SQLITE_IOERR | (33 << 8);

/// Maps SQLite's error to its kind. `path` is for the error's text.
pub(super) fn from_sqlite(error: Error, path: &Path) -> OutboxError {
    if let Some(code) = error.sqlite_error().copied() {
        return from_code(code, error, path);
    }
    match error {
        // The tables are STRICT, so a value of another type or out of its range is damage.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..)
        | Error::QueryReturnedNoRows => OutboxError::Corrupt(error.into()),
        Error::InvalidPath(_) => cannot_open(error, path),
        _ => OutboxError::Other(error.into()),
    }
}

fn from_code(code: ffi::Error, error: Error, path: &Path) -> OutboxError {
    match code.code {
        ErrorCode::DiskFull => OutboxError::DiskFull(error.into()),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => OutboxError::ReadOnly(error.into()),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            OutboxError::Locked(error.into())
        }
        ErrorCode::CannotOpen => cannot_open(error, path),
        // No statement of ours breaks a constraint of a sound file.
        ErrorCode::NotADatabase
        | ErrorCode::DatabaseCorrupt
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch => OutboxError::Corrupt(error.into()),
        _ if code.extended_code == ffi::SQLITE_FORMAT => OutboxError::Corrupt(error.into()),
        ErrorCode::SystemIoFailure => from_io_failure(code.extended_code, error),
        _ => OutboxError::Other(error.into()),
    }
}

/// SQLite reports a full disk as an I/O error where it grows the WAL's index, and damage where it
/// can tell.
fn from_io_failure(extended_code: i32, error: Error) -> OutboxError {
    match extended_code {
        ffi::SQLITE_IOERR_SHMSIZE => OutboxError::DiskFull(error.into()),
        IOERR_CORRUPTFS | ffi::SQLITE_IOERR_SHORT_READ => OutboxError::Corrupt(error.into()),
        _ => OutboxError::Other(error.into()),
    }
}

/// Maps an error of a file that SQLite has not opened: the lock file, or the database before.
pub(super) fn from_io(error: io::Error, path: &Path) -> OutboxError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OutboxError::DiskFull(error.into()),
        io::ErrorKind::ReadOnlyFilesystem => OutboxError::ReadOnly(error.into()),
        _ => cannot_open(error, path),
    }
}

/// The file cannot be opened, for the reason `source`.
pub(super) fn cannot_open(source: impl Into<crate::error::Source>, path: &Path) -> OutboxError {
    OutboxError::CannotOpen { path: path.to_owned(), source: source.into() }
}
