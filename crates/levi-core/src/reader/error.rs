//! Why a session cannot be read.

use std::time::Duration;

use levi_crypto::envelope::EnvelopeError;
use levi_transport::ApiError;
use levi_types::{AuthError, DeviceId, NotAUuid, SessionId, UserId};

use crate::request_error::RequestError;

/// Why a session cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nobody is signed in, or the sign-in cannot be used now.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The server refused the request or could not be reached.
    #[error("the request to Supabase failed: {0}")]
    Supabase(#[from] ApiError),
    /// No envelope for this device: the session's owner has not shared it (yet).
    #[error(
        "session {session_id} has no secret for device {device_id}; share it from a device that has it (`levi share`, `share_with_device`)"
    )]
    NoEnvelope {
        /// The session.
        session_id: SessionId,
        /// This device.
        device_id: DeviceId,
    },
    /// An id is not a uuid in the server's spelling.
    #[error(transparent)]
    NotAUuid(#[from] NotAUuid),
    /// The envelope names a sender whose public key is not there or cannot be used.
    #[error("the device that sealed the secret has no public key that can be used and is trusted")]
    UnknownSender,
    /// So many rows in a row cannot be read that the session is not read further.
    #[error(
        "none of the {rows} rows after {after:?} up to {up_to} can be read; pull after {up_to} to continue past them"
    )]
    TooManyUnreadable {
        /// The last message that could be read.
        after: Option<i64>,
        /// The last row that was looked at.
        up_to: i64,
        /// How many rows there are in between.
        rows: usize,
    },
    /// The envelope cannot be opened: another sender, recipient or session, or altered.
    #[error("the session's secret cannot be opened: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The table of messages lacks the columns of the change feed.
    #[error(
        "the project's table of messages has no change feed; apply the migration 20260102000000_change_feed.sql, \
         as in docs/supabase.md: {0}"
    )]
    NoChangeFeed(ApiError),
    /// A cursor counts the changes of one user.
    #[error("the cursor is user {cursor}'s, and this reader is user {user}'s; read from the beginning")]
    OtherUsersCursor {
        /// Whose changes the cursor counts.
        cursor: UserId,
        /// For whom this reader reads.
        user: UserId,
    },
}

impl From<RequestError> for ReadError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Api(error) => Self::Supabase(error),
            RequestError::TokenRefused { auth, .. } => Self::Auth(auth),
        }
    }
}

impl ReadError {
    /// How long the project or the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Supabase(error) => error.retry_after,
            Self::Auth(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody changing something in the project: the network, the
    /// server or the sign-in is not there now.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Supabase(error) => error.verdict.is_passing(),
            Self::Auth(error) => !matches!(error, AuthError::OtherUser { .. }),
            _ => false,
        }
    }
}
