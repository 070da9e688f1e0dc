//! Why one row could not be read.

use std::sync::Arc;

use levi_crypto::OpenError;
use levi_crypto::message_v2::{Epoch, WireNonceError};
use levi_transport::ApiError;
use levi_transport::rows::NotBase64;

use super::ReadError;

/// One row that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("message {sequence_number} cannot be read: {error}")]
pub struct UnreadableMessage {
    /// Its place in the session.
    pub sequence_number: i64,
    /// Why.
    pub error: MessageError,
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A column is not base64.
    #[error(transparent)]
    Encoding(#[from] NotBase64),
    /// No secret of the session that this device has opens it: it was sealed under another one or for another place, or
    /// altered since.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The secrets that this device has do not open it, and the session's present one is not available.
    #[error("the secrets on this device do not open it, and the session's present one cannot be used: {0}")]
    NoSecret(Arc<ReadError>),
    /// The row says that it is of version 2, and its nonce is malformed.
    #[error(transparent)]
    Nonce(#[from] WireNonceError),
    /// It was sealed for the devices on the user's signed list.
    #[error(
        "it was sealed for the devices on the signed device list, and this one is not on it; pair it (`levi pair`)"
    )]
    NotOnList,
    /// It was sealed in an epoch whose secret this device does not have.
    #[error("it was sealed in epoch {epoch}, whose secret this device does not have (yet)")]
    UnknownEpoch {
        /// The epoch that the row names.
        epoch: Epoch,
    },
    /// It was sealed in an epoch that was over when it was written: perhaps by a device that was
    /// removed, or by one that did not know of the removal yet.
    #[error(
        "it was sealed in epoch {epoch} (0 is version 1), but epoch {newer} of this session began at message {since}: \
         perhaps a removed device wrote it; do not trust it. If a device of yours wrote it that had not heard of the \
         removal yet, send it again there, with `levi sync --replace`"
    )]
    StaleEpoch {
        /// The row's epoch; 0 for version 1.
        epoch: u32,
        /// A later epoch.
        newer: u32,
        /// The message with which that began.
        since: i64,
    },
    /// The row cannot be fetched even alone: it is too long for one answer, or its columns have other types.
    #[error("the row cannot be fetched: {0}")]
    NotFetched(ApiError),
}
