//! How values are stored in columns.

use levi_types::Wall;
use rusqlite::{Error, Result, Row};

use super::overwrites;
use crate::model::{Encryption, LaneKey, Reason, RowHead, RowId, RowKey, RowKind};

/// The columns that [`head`] reads, in its order.
macro_rules! head_columns {
    () => {
        concat!(
            "id, version, sequence_number, bytes, protection, enqueued_at, ",
            crate::sqlite::overwrites::overwrite_mode!("levi_outbox.id")
        )
    };
}
pub(super) use head_columns;

pub(super) fn head(row: &Row<'_>) -> Result<RowHead> {
    Ok(RowHead {
        key: RowKey { id: RowId(row.get(0)?), version: row.get(1)? },
        sequence_number: row.get(2)?,
        bytes: row.get(3)?,
        encryption: encryption(row, 4)?,
        enqueued_at: wall(row, 5)?,
        overwrite: overwrites::of_column(row, 6)?,
    })
}

pub(super) const fn encryption_code(encryption: Encryption) -> i64 {
    match encryption {
        Encryption::SessionKey => 0,
        Encryption::DatabaseKey => 1,
        Encryption::None => 2,
    }
}

pub(super) fn encryption(row: &Row<'_>, column: usize) -> Result<Encryption> {
    match row.get(column)? {
        0 => Ok(Encryption::SessionKey),
        1 => Ok(Encryption::DatabaseKey),
        2 => Ok(Encryption::None),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) const fn kind_code(kind: RowKind) -> i64 {
    match kind {
        RowKind::Repository => 0,
        RowKind::Session => 1,
        RowKind::Secret => 2,
        RowKind::Message => 3,
    }
}

pub(super) fn kind(row: &Row<'_>, column: usize) -> Result<RowKind> {
    match row.get(column)? {
        0 => Ok(RowKind::Repository),
        1 => Ok(RowKind::Session),
        2 => Ok(RowKind::Secret),
        3 => Ok(RowKind::Message),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
}

/// A lane's name, from its kind and its subject in the column after it.
pub(super) fn lane_key(row: &Row<'_>, column: usize) -> Result<LaneKey> {
    let subject = row.get_ref(column + 1)?.as_str()?;
    Ok(match kind(row, column)? {
        RowKind::Repository => LaneKey::Repository(subject.into()),
        RowKind::Session => LaneKey::Session(subject.into()),
        RowKind::Secret => LaneKey::Secret(subject.into()),
        RowKind::Message => LaneKey::Messages(subject.into()),
    })
}

pub(super) fn wall(row: &Row<'_>, column: usize) -> Result<Wall> {
    Ok(Wall::from_millis(row.get(column)?))
}

pub(super) fn optional_wall(row: &Row<'_>, column: usize) -> Result<Option<Wall>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Wall::from_millis))
}

/// A reason from a column and the one after it; `None` if the first is NULL.
pub(super) fn reason(row: &Row<'_>, column: usize) -> Result<Option<Reason>> {
    let Some(code) = row.get(column)? else { return Ok(None) };
    Ok(Some(Reason { code, detail: row.get(column + 1)? }))
}

/// A count or length, which is negative only in a damaged file.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// The reverse of [`unsigned`].
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
