//! Sends what the policy says.

use std::ops::ControlFlow;
use std::time::Duration;

use async_trait::async_trait;

use super::check::check_page;
use super::policy::{Attempts, Next};
use super::query::PagedQuery;
use super::size::{PageSize, SharedPageSize};
use crate::api_error::{ApiError, Verdict};
use crate::supabase::Select;

/// The server as the reading user sees it, and how long the caller waits.
#[async_trait]
pub trait PageSource: Send + Sync {
    /// Sends one select with a token that is valid now: a refused one is refreshed, and the request
    /// repeated.
    ///
    /// # Errors
    /// [`ApiError`]
    async fn select(&self, select: Select) -> Result<Vec<u8>, ApiError>;

    /// Waits before retry number `retry` of one page (the first is 1), and not less than
    /// `at_least`. `Break`: the caller does not want to wait (any longer).
    async fn wait(&self, retry: u32, at_least: Option<Duration>) -> ControlFlow<()>;
}

/// A row that cannot be read even alone, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver<K> {
    /// The row's key.
    pub key: K,
    /// Why: the row is too long for one answer, or its columns do not have the expected types.
    pub error: ApiError,
}

/// Some rows, in order.
#[derive(Debug)]
pub struct RowsPage<R, K> {
    /// The rows, and those that were passed over.
    pub rows: Vec<Result<R, PassedOver<K>>>,
    /// The last row's key: the next page begins after it. `None`: nothing is past the cursor.
    pub cursor: Option<K>,
}

/// The rows past `after`: at most `limit`, and at least one if there are any.
///
/// Asks for fewer rows after a failure and remembers in `size` what worked. A row that cannot be
/// read even alone is skipped, and its key is returned. A server may return fewer rows than asked
/// for (it has a row limit of its own), so only an empty page is the end.
///
/// # Errors
/// The last [`ApiError`] once `source` stops waiting, or one that a retry cannot change.
pub async fn next_page<Q: PagedQuery>(
    source: &dyn PageSource,
    query: &Q,
    after: Option<&Q::Key>,
    limit: u32,
    size: &SharedPageSize,
) -> Result<RowsPage<Q::Row, Q::Key>, ApiError> {
    let (mut asked, mut attempts) = (size.begin(limit), Attempts::default());
    loop {
        let error = match ask(source, query, after, asked.rows()).await {
            Ok(page) => {
                asked.succeeded();
                size.keep(&asked);
                return Ok(page);
            }
            Err(error) => error,
        };
        let next = attempts.failed(&error, &mut asked);
        size.keep(&asked);
        match next {
            Next::Narrower => {}
            Next::Later { retry, at_least } => {
                if source.wait(retry, at_least).await.is_break() {
                    return Err(error);
                }
            }
            Next::PassOver => return pass_over(source, query, after, error).await,
            Next::GiveUp => return Err(error),
        }
    }
}

async fn ask<Q: PagedQuery>(
    source: &dyn PageSource,
    query: &Q,
    after: Option<&Q::Key>,
    limit: u32,
) -> Result<RowsPage<Q::Row, Q::Key>, ApiError> {
    let rows = Q::decode(source.select(query.page(after, limit)).await?).map_err(bad_row)?;
    let keys: Vec<Q::Key> = rows.iter().map(Q::key).collect();
    check_page(&keys, after, limit)?;
    Ok(RowsPage { cursor: keys.last().cloned(), rows: rows.into_iter().map(Ok).collect() })
}

/// The answer arrived whole, so one of its rows is at fault and not the connection.
fn bad_row(error: ApiError) -> ApiError {
    ApiError { code: "bad_row".into(), ..error }
}

/// Names the first row past `after`, which cannot be read.
async fn pass_over<Q: PagedQuery>(
    source: &dyn PageSource,
    query: &Q,
    after: Option<&Q::Key>,
    error: ApiError,
) -> Result<RowsPage<Q::Row, Q::Key>, ApiError> {
    let keys = Q::keys(&source.select(query.first_key(after)).await?)?;
    check_page(&keys, after, 1)?;
    // Removed in the meantime: the caller asks for the rows past the same cursor again.
    let Some(key) = keys.into_iter().next() else { return Err(error) };
    Ok(RowsPage { cursor: Some(key.clone()), rows: vec![Err(PassedOver { key, error })] })
}

/// The answer to a select of at most one row, retried as a page is.
///
/// # Errors
/// As for [`next_page`].
pub async fn read_one(source: &dyn PageSource, select: Select) -> Result<Vec<u8>, ApiError> {
    let (mut size, mut attempts) = (PageSize::new(1), Attempts::default());
    loop {
        let error = match source.select(select.clone()).await {
            Ok(body) => return Ok(body),
            Err(error) => error,
        };
        match attempts.failed(&error, &mut size) {
            Next::Later { retry, at_least } if source.wait(retry, at_least).await.is_continue() => {}
            _ => return Err(error),
        }
    }
}

/// Every row, at most `most` of them.
///
/// # Errors
/// As for [`next_page`]; [`Verdict::Unexpected`] with the code `too_many_rows` past `most`.
pub async fn read_all<Q: PagedQuery>(
    source: &dyn PageSource,
    query: &Q,
    size: &SharedPageSize,
    most: usize,
) -> Result<Vec<Result<Q::Row, PassedOver<Q::Key>>>, ApiError> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = next_page(source, query, after.as_ref(), u32::MAX, size).await?;
        let Some(cursor) = page.cursor else { return Ok(rows) };
        after = Some(cursor);
        rows.extend(page.rows);
        if rows.len() > most {
            let detail = format!("more than {most} rows; is this the right project?");
            return Err(ApiError::new(Verdict::Unexpected, "too_many_rows", detail));
        }
    }
}
