//! How values lie in columns.

use levi_types::Wall;
use rusqlite::{Error, Result, Row};

use crate::model::{Protection, Reason, RowHead, RowId, RowKey};

/// The columns that [`head`] reads, in its order.
macro_rules! head_columns {
    () => {
        "id, version, sequence_number, bytes, protection, enqueued_at"
    };
}
pub(super) use head_columns;

pub(super) fn head(row: &Row<'_>) -> Result<RowHead> {
    Ok(RowHead {
        key: RowKey { id: RowId(row.get(0)?), version: row.get(1)? },
        sequence_number: row.get(2)?,
        bytes: row.get(3)?,
        protection: protection(row, 4)?,
        enqueued_at: wall(row, 5)?,
    })
}

pub(super) const fn protection_code(protection: Protection) -> i64 {
    match protection {
        Protection::Sealed => 0,
        Protection::AtRest => 1,
    }
}

pub(super) fn protection(row: &Row<'_>, column: usize) -> Result<Protection> {
    match row.get(column)? {
        0 => Ok(Protection::Sealed),
        1 => Ok(Protection::AtRest),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
}

pub(super) fn wall(row: &Row<'_>, column: usize) -> Result<Wall> {
    Ok(Wall::from_millis(row.get(column)?))
}

pub(super) fn optional_wall(row: &Row<'_>, column: usize) -> Result<Option<Wall>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Wall::from_millis))
}

/// A reason from two columns side by side; none where the first is NULL.
pub(super) fn reason(row: &Row<'_>, column: usize) -> Result<Option<Reason>> {
    let Some(code) = row.get(column)? else { return Ok(None) };
    Ok(Some(Reason { code, detail: row.get(column + 1)? }))
}

/// A count that cannot be negative on a sound disk.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
