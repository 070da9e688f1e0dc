//! Fetches the rows of a device list.

use levi_devices::entry::{ListRow, MAX_SLOT};
use levi_transport::rows::DeviceListRow;
use levi_transport::{ApiError, DeviceListOf, PageSource, SharedPageSize, next_page};
use levi_types::UserId;

/// What PostgREST says of a table that is not there, in new versions and in those before 13: the
/// project lacks the tables of the device list.
const NO_TABLE: [&str; 2] = ["PGRST205", "42P01"];

/// Rows in one request. A row has at most 8 KiB.
const PAGE: u32 = 500;

/// Every row of the user's list. A project without the tables has none.
pub(super) async fn all_rows(source: &dyn PageSource, user: &UserId) -> Result<Vec<ListRow>, ApiError> {
    match rows_after(source, user, None).await {
        Err(error) if NO_TABLE.contains(&error.code.as_str()) => Ok(Vec::new()),
        result => result,
    }
}

/// The rows from `slot` on.
pub(super) async fn rows_from(
    source: &dyn PageSource,
    user: &UserId,
    slot: u64,
) -> Result<Vec<ListRow>, ApiError> {
    let after = i64::try_from(slot).ok().and_then(|slot| slot.checked_sub(1)).filter(|after| *after >= 0);
    rows_after(source, user, after).await
}

/// Rows in slots that no list has are not asked for, because a server could show them without end.
async fn rows_after(
    source: &dyn PageSource,
    user: &UserId,
    mut after: Option<i64>,
) -> Result<Vec<ListRow>, ApiError> {
    let (size, mut rows) = (SharedPageSize::new(PAGE), Vec::new());
    loop {
        let page = next_page(source, &DeviceListOf(user), after.as_ref(), u32::MAX, &size).await?;
        // A row that cannot be fetched even alone is garbage, because entries are short.
        rows.extend(page.rows.into_iter().filter_map(Result::ok).filter_map(to_list_row));
        match page.cursor {
            Some(cursor) if u64::try_from(cursor).is_ok_and(|slot| slot < MAX_SLOT) => after = Some(cursor),
            _ => return Ok(rows),
        }
    }
}

fn to_list_row(row: DeviceListRow) -> Option<ListRow> {
    let DeviceListRow { slot, entry, signature, cosignature, .. } = row;
    let slot = u64::try_from(slot).ok().filter(|slot| *slot <= MAX_SLOT)?;
    Some(ListRow { slot, entry, signature, cosignature })
}

#[cfg(test)]
mod tests;
