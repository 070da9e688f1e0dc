//! The reads of more than one row.

use levi_types::{DeviceId, SessionId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api_error::ApiError;
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

impl PagedQuery for DevicesOf<'_> {
    type Row = DeviceRow;
    type Key = DeviceId;

    fn key(row: &DeviceRow) -> DeviceId {
        row.id.clone()
    }

    fn page(&self, after: Option<&DeviceId>, limit: u32) -> Select {
        Select::active_devices(self.0, after, limit)
    }

    fn first_key(&self, after: Option<&DeviceId>) -> Select {
        Select::first_device_after(self.0, after)
    }

    fn keys(body: &[u8]) -> Result<Vec<DeviceId>, ApiError> {
        #[derive(Deserialize)]
        struct Key {
            id: DeviceId,
        }
        Ok(decode_rows::<Key>(body)?.into_iter().map(|row| row.id).collect())
    }
}

/// The secrets that were sealed for a device, by session.
#[derive(Clone, Copy, Debug)]
pub struct SecretsFor<'a>(pub &'a DeviceId);

impl PagedQuery for SecretsFor<'_> {
    type Row = SecretRow;
    type Key = SessionId;

    fn key(row: &SecretRow) -> SessionId {
        row.session_id.clone()
    }

    fn page(&self, after: Option<&SessionId>, limit: u32) -> Select {
        Select::secrets_for(self.0, after, limit)
    }

    fn first_key(&self, after: Option<&SessionId>) -> Select {
        Select::first_secret_after(self.0, after)
    }

    fn keys(body: &[u8]) -> Result<Vec<SessionId>, ApiError> {
        #[derive(Deserialize)]
        struct Key {
            session_id: SessionId,
        }
        Ok(decode_rows::<Key>(body)?.into_iter().map(|row| row.session_id).collect())
    }
}

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
