//! The port: what Levi asks of a Supabase project.

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use levi_types::AccessToken;

use crate::api_error::ApiError;
use crate::table::Table;

/// One upsert: one POST, one INSERT, all rows or none. `Debug` shows the body's length only.
#[derive(Clone)]
pub struct Upsert {
    /// The table that takes the rows.
    pub table: Table,
    /// The columns that every row names, comma separated (`columns=`).
    pub columns: Cow<'static, str>,
    /// A JSON array of rows, ready to send.
    pub body: Vec<u8>,
}

impl fmt::Debug for Upsert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, columns, body } = self;
        f.debug_struct("Upsert")
            .field("table", table)
            .field("columns", columns)
            .field("body_bytes", &body.len())
            .finish()
    }
}

/// One update of the rows that a filter selects. `Debug` shows the body's length only.
#[derive(Clone)]
pub struct Update {
    /// The table.
    pub table: Table,
    /// Query parameters after `?`, percent-encoded where needed: the filters, and the columns to
    /// return.
    pub query: String,
    /// A JSON object: the columns to change and their values.
    pub body: Vec<u8>,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, query: _, body } = self;
        f.debug_struct("Update")
            .field("table", table)
            .field("body_bytes", &body.len())
            .finish_non_exhaustive()
    }
}

/// One read of one table.
#[derive(Clone, Debug)]
pub struct Select {
    /// The table to read.
    pub table: Table,
    /// Query parameters after `?`, percent-encoded where needed: filters, `select`, `order`,
    /// `limit`.
    pub query: String,
}

/// A Supabase project, as one signed-in user sees it.
///
/// An implementation sends one request and reports the result. It does not retry and does not
/// refresh the token.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait Supabase: Send + Sync {
    /// Upserts rows (`resolution=merge-duplicates`): all of them, or none.
    ///
    /// # Errors
    /// [`ApiError`]. After [`Verdict::Unreachable`](crate::Verdict::Unreachable) the rows may have
    /// been written.
    async fn upsert(&self, token: &AccessToken, upsert: Upsert) -> Result<(), ApiError>;

    /// Inserts the rows whose key no row has yet (`resolution=ignore-duplicates`): all of those, or
    /// none. The body is a JSON array of the keys ([`Table::conflict_columns`]) that were inserted.
    ///
    /// # Errors
    /// [`ApiError`]. After [`Verdict::Unreachable`](crate::Verdict::Unreachable) the rows may have
    /// been written.
    async fn insert(&self, token: &AccessToken, insert: Upsert) -> Result<Vec<u8>, ApiError>;

    /// Updates the rows that a filter selects. The body is a JSON array of them, with the columns
    /// that the query asks for.
    ///
    /// # Errors
    /// [`ApiError`]. After [`Verdict::Unreachable`](crate::Verdict::Unreachable) the rows may have
    /// been written.
    async fn update(&self, token: &AccessToken, update: Update) -> Result<Vec<u8>, ApiError>;

    /// Reads rows: the body is a JSON array.
    ///
    /// # Errors
    /// [`ApiError`].
    async fn select(&self, token: &AccessToken, select: Select) -> Result<Vec<u8>, ApiError>;

    /// Closes the connections that are kept open for later requests, because they may be dead: the
    /// network is another one, or the machine slept.
    fn close_idle(&self) {}
}
