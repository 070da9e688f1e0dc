//! The reads of more than one row.

use levi_types::{DeviceId, SessionId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api_error::ApiError;
use crate::query::Query;
use crate::rows::{DeviceListRow, DeviceRow, MessageRow, SecretRow, decode_rows};
use crate::supabase::Select;

/// A read of rows in the order of a unique key.
pub trait PagedQuery: Send + Sync {
    /// One row.
    type Row: DeserializeOwned + Send;
    /// What the rows are ordered by.
    type Key: Ord + Clone + Send + Sync;

    /// The key of a row.
    fn key(row: &Self::Row) -> Self::Key;

    /// At most `limit` rows past `after`, in order.
    fn page(&self, after: Option<&Self::Key>, limit: u32) -> Select;

    /// The rows in the answer to [`page`](Self::page).
    ///
    /// # Errors
    /// As for [`decode_rows`].
    fn decode(body: Vec<u8>) -> Result<Vec<Self::Row>, ApiError> {
        decode_rows(&body)
    }

    /// The key alone of the first row past `after`: names a row that cannot be read.
    fn first_key(&self, after: Option<&Self::Key>) -> Select;

    /// The keys in the answer to [`first_key`](Self::first_key).
    ///
    /// # Errors
    /// [`ApiError`] if it is not an array of such rows.
    fn keys(body: &[u8]) -> Result<Vec<Self::Key>, ApiError>;
}

/// Implements [`PagedQuery`] for a query with a method `rows`: `page` chooses the columns, and `key` is the column by which
/// the rows are ordered.
macro_rules! paged {
    ($query:ty, $row:ty, page: $page:expr, key: $column:ident $key:ty) => {
        impl PagedQuery for $query {
            type Row = $row;
            type Key = $key;

            fn key(row: &$row) -> $key {
                row.$column.clone()
            }

            fn page(&self, after: Option<&$key>, limit: u32) -> Select {
                let page: fn(Query) -> Select = $page;
                page(self.rows(after, limit))
            }

            fn first_key(&self, after: Option<&$key>) -> Select {
                self.rows(after, 1).columns(stringify!($column))
            }

            fn keys(body: &[u8]) -> Result<Vec<$key>, ApiError> {
                #[derive(Deserialize)]
                struct KeyOnly {
                    $column: $key,
                }
                Ok(decode_rows::<KeyOnly>(body)?.into_iter().map(|row| row.$column).collect())
            }
        }
    };
}

pub(super) use paged;

/// The messages of a session by sequence number.
#[derive(Clone, Copy, Debug)]
pub struct MessagesOf<'a>(pub &'a SessionId);

impl PagedQuery for MessagesOf<'_> {
    type Row = MessageRow;
    type Key = i64;

    fn key(row: &MessageRow) -> i64 {
        row.sequence_number
    }

    fn page(&self, after: Option<&i64>, limit: u32) -> Select {
        Select::messages_after(self.0, after.copied(), limit)
    }

    fn first_key(&self, after: Option<&i64>) -> Select {
        Select::first_number_after(self.0, after.copied())
    }

    fn keys(body: &[u8]) -> Result<Vec<i64>, ApiError> {
        // A message row without its content.
        Ok(decode_rows::<MessageRow>(body)?.into_iter().map(|row| row.sequence_number).collect())
    }
}

/// The active devices of a user that have a public key, by id.
#[derive(Clone, Copy, Debug)]
pub struct DevicesOf<'a>(pub &'a UserId);

impl DevicesOf<'_> {
    fn rows(&self, after: Option<&DeviceId>, limit: u32) -> Query {
        Select::devices(self.0, after, limit)
    }
}

paged!(DevicesOf<'_>, DeviceRow, page: Query::all_columns, key: id DeviceId);

/// The secrets that were sealed for a device, by session.
#[derive(Clone, Copy, Debug)]
pub struct SecretsFor<'a>(pub &'a DeviceId);

impl SecretsFor<'_> {
    fn rows(&self, after: Option<&SessionId>, limit: u32) -> Query {
        Select::secrets(self.0, after, limit)
    }
}

paged!(SecretsFor<'_>, SecretRow, page: Query::all_columns, key: session_id SessionId);

/// The entries of a user's device list, by slot.
#[derive(Clone, Copy, Debug)]
pub struct DeviceListOf<'a>(pub &'a UserId);

impl PagedQuery for DeviceListOf<'_> {
    type Row = DeviceListRow;
    type Key = i64;

    fn key(row: &DeviceListRow) -> i64 {
        row.slot
    }

    fn page(&self, after: Option<&i64>, limit: u32) -> Select {
        Select::device_list(self.0, after.copied(), limit)
    }

    fn first_key(&self, after: Option<&i64>) -> Select {
        Select::first_slot_after(self.0, after.copied())
    }

    fn keys(body: &[u8]) -> Result<Vec<i64>, ApiError> {
        #[derive(Deserialize)]
        struct Key {
            slot: i64,
        }
        Ok(decode_rows::<Key>(body)?.into_iter().map(|row| row.slot).collect())
    }
}
