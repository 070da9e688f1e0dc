use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use levi_crypto::envelope::EnvelopeError;
use levi_crypto::{SealError, SessionSecretError};
use levi_outbox::{Reason, RowKind};
use levi_transport::{ApiError, Verdict};
use levi_types::{
    AuthError, DeviceId, InvalidMessage, InvalidRecord, NotAUuid, RepositoryId, SessionId, StoreError,
    UnknownStatus, UserId,
};

use crate::device_list::DeviceListProblem;
use crate::error::EnqueueError;
use crate::request_error::RequestError;

/// The code of a parked row of a session that was deleted elsewhere.
pub(crate) const SESSION_GONE: &str = "session_gone";
/// The code of a row of a session that has another secret on the server.
pub(crate) const OTHER_SECRET: &str = "other_secret";

/// Why a session, a repository or a secret could not be synced.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// User not logged in.
    #[error("nobody is signed in; sign in first")]
    NotAuthenticated,
    /// Another user is signed in than the one whose session, repository or service this is.
    #[error("user {found} is signed in, and this is user {expected}'s; it waits until that user signs in")]
    OtherUser {
        /// Whose it is.
        expected: UserId,
        /// Who is signed in.
        found: UserId,
    },
    /// Device not registered.
    #[error("this device is not among the user's active devices; register it first")]
    NoDeviceIdentity,
    /// Local repo missing.
    #[error("there is no repository {0} in the session store; save it there first")]
    RepositoryNotFound(RepositoryId),
    /// Local session missing.
    #[error("there is no session {0} in the session store; save it there first")]
    SessionNotFound(SessionId),
    /// The session's secret is not on this device.
    #[error("the secret of session {0} is not on this device")]
    SecretNotFound(SessionId),
    /// API error.
    #[error("Supabase refused it: {0}")]
    Supabase(ApiError),
    /// Crypto error.
    #[error("encryption failed: {0}")]
    Encryption(#[from] EncryptionError),
    /// The daemon's own store failed.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// No such status.
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    /// The daemon's record can never be on the server.
    #[error(transparent)]
    InvalidRecord(#[from] InvalidRecord),
    /// The server had the session once, and has it no more.
    #[error(
        "session {0} was deleted on another device; what is here of it is held: restore the session, or discard its rows"
    )]
    SessionGone(SessionId),
    /// The id of a repository or session is another user's.
    #[error("the id {id} of this {kind} belongs to another user of the project; give it a new id", kind = .kind.name())]
    OwnedByAnother {
        /// A repository or a session.
        kind: RowKind,
        /// Its id.
        id: String,
    },
    /// Another device of the user began the session.
    #[error(
        "session {session} is device {owner}'s, and its row was left alone; to write to it, take its secret \
         (`Reader::session_secret`) and save both in the session store with that device as the owner, or begin a \
         session with a new id"
    )]
    SessionOfAnotherDevice {
        /// The session.
        session: SessionId,
        /// Whose it is.
        owner: DeviceId,
    },
    /// The server has another secret of the session, which messages may be sealed under. Nothing was overwritten.
    #[error(
        "session {0} has another secret on the server, which was left alone; save that one in the session store \
         (`Reader::session_secret`) and sync the session again, or begin a session with a new id"
    )]
    OtherSecret(SessionId),
    /// The session has a message at the highest sequence number there is.
    #[error("session {0} has no sequence number left; continue in a new session")]
    SessionFull(SessionId),
    /// An id is not a uuid in the server's spelling.
    #[error(transparent)]
    NotAUuid(#[from] NotAUuid),
    /// Some devices cannot be given the secret for now; the others have it. Levi tries again.
    #[error("{0}")]
    DevicesSkipped(SkippedDevices),
    /// The sign-in cannot be used now, or has ended.
    #[error("{0}")]
    SignIn(AuthError),
    /// Supabase refused the token, and there is no other one.
    #[error("Supabase refused the token ({code}): {auth}", code = .refusal.code)]
    TokenRefused {
        /// The refusal.
        refusal: ApiError,
        /// Why there is no other token.
        auth: AuthError,
    },
    /// It waits in the outbox, for its parent or until something is sent again.
    #[error("it waits: {} ({})", .0.code, .0.detail)]
    Waiting(Reason),
    /// The outbox could not store it.
    #[error("it could not be stored for a later attempt: {0}")]
    NotRecorded(#[from] EnqueueError),
    /// A secret that neither the session store has nor a database key can encrypt on disk.
    #[error("save the secret of session {0} in the session store first, or give Levi a database key")]
    SecretNotStored(SessionId),
    /// It was removed from the outbox by hand before the server had it.
    #[error("it was discarded from the outbox before the server had it")]
    Discarded,
    /// The signed device list cannot be relied on now, so no secret is given to anybody.
    #[error(transparent)]
    DeviceList(DeviceListProblem),
    /// The outbox has a row that this version of Levi does not know.
    #[error("this version of Levi does not know the row; it was written by a later one")]
    UnknownRow,
}

/// What went wrong with keys.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// The secret is malformed.
    #[error(transparent)]
    Secret(#[from] SessionSecretError),
    /// The device's public key cannot be used.
    #[error("the device's public key cannot be used: {0}")]
    Device(#[from] levi_crypto::envelope::DeviceKeyError),
    /// The device's id is not a uuid in the server's spelling.
    #[error(transparent)]
    NotAUuid(#[from] NotAUuid),
    /// The device's row cannot be read, or the server refused the envelope for it.
    #[error("{0}")]
    Row(ApiError),
    /// The daemon does not trust the device's public key.
    #[error("the daemon does not trust the device's public key")]
    Untrusted,
    /// The envelope could not be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The secret could not be encrypted for the disk.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The secret in the outbox could not be decrypted.
    #[error(transparent)]
    Open(#[from] levi_crypto::OpenError),
}

/// Devices without a secret that they are to have, and why.
#[derive(Clone, Debug)]
pub struct SkippedDevices(pub Vec<(DeviceId, EncryptionError)>);

impl fmt::Display for SkippedDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The devices that the text names.
        const NAMED: usize = 3;
        write!(f, "{} of the user's devices have no secret of this session yet", self.0.len())?;
        for (number, (device, error)) in self.0.iter().take(NAMED).enumerate() {
            let before = if number == 0 { ": " } else { "; " };
            write!(f, "{before}{device} ({error})")?;
        }
        Ok(())
    }
}

impl From<AuthError> for SyncError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::SignedOut => Self::NotAuthenticated,
            AuthError::OtherUser { expected, found } => Self::OtherUser { expected, found },
            other => Self::SignIn(other),
        }
    }
}

impl From<InvalidMessage> for SyncError {
    fn from(error: InvalidMessage) -> Self {
        Self::InvalidRecord(error.into())
    }
}

impl From<ApiError> for SyncError {
    fn from(error: ApiError) -> Self {
        Self::Supabase(error)
    }
}

impl From<RequestError> for SyncError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Api(error) => Self::Supabase(error),
            RequestError::TokenRefused { refusal, auth } => Self::TokenRefused { refusal, auth },
        }
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl SyncError {
    /// A short code, for logs and the outbox: the server's own words quote rows, and so paths and names.
    pub fn code(&self) -> &str {
        match self {
            Self::Supabase(error) | Self::TokenRefused { refusal: error, .. } => &error.code,
            Self::Waiting(reason) => &reason.code,
            Self::NotAuthenticated => "signed_out",
            Self::OtherUser { .. } => "other_user",
            Self::NoDeviceIdentity => "no_device",
            Self::SecretNotFound(_) => "missing_secret",
            Self::SecretNotStored(_) => "no_database_key",
            Self::Store(_) => "session_store",
            Self::SignIn(_) => "sign_in",
            Self::RepositoryNotFound(_) => "repository_not_found",
            Self::SessionNotFound(_) => "session_not_found",
            Self::UnknownRow => "unknown_row",
            Self::Discarded => "discarded",
            Self::NotRecorded(_) => "not_stored",
            Self::SessionGone(_) => SESSION_GONE,
            Self::OwnedByAnother { .. } => "owned_by_another",
            Self::SessionOfAnotherDevice { .. } => "session_of_another_device",
            Self::OtherSecret(_) => OTHER_SECRET,
            Self::UnknownStatus(_) | Self::NotAUuid(_) | Self::InvalidRecord(_) => "invalid",
            Self::SessionFull(_) => "session_full",
            Self::DevicesSkipped(_) => "devices_skipped",
            Self::Encryption(_) => "encryption",
            Self::DeviceList(problem) => problem.code(),
        }
    }

    /// How long the project or the sign-in server asked the caller to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Supabase(error) => error.retry_after,
            Self::SignIn(auth) | Self::TokenRefused { auth, .. } => auth.retry_after(),
            _ => None,
        }
    }

    pub(crate) fn to_reason(&self) -> Reason {
        Reason { code: self.code().to_owned(), detail: self.to_string() }
    }
}

/// Why one attempt to send rows failed, and what the batcher makes of it.
#[derive(Clone, Debug)]
pub enum SendError {
    /// The server refused the rows or could not be reached.
    Api(ApiError),
    /// It failed on this side; another attempt may succeed.
    Wait(SyncError),
    /// It failed on this side, and no further attempt can succeed.
    Never(SyncError),
}

impl SendError {
    /// A short code, for logs.
    pub fn code(&self) -> &str {
        match self {
            Self::Api(error) => &error.code,
            Self::Wait(error) | Self::Never(error) => error.code(),
        }
    }
}

impl From<ApiError> for SendError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<SyncError> for SendError {
    fn from(error: SyncError) -> Self {
        match error {
            // The batcher asks for a token by itself, for messages as well.
            SyncError::Supabase(error) | SyncError::TokenRefused { refusal: error, .. } => Self::Api(error),
            // As for a refused token: nothing is counted, and the sign-in is asked for again.
            SyncError::OtherUser { .. } => {
                Self::Api(ApiError::new(Verdict::SignedOut, error.code(), error.to_string()))
            }
            SyncError::NotAuthenticated
            | SyncError::NoDeviceIdentity
            | SyncError::SecretNotFound(_)
            | SyncError::Store(_)
            | SyncError::Waiting(_)
            | SyncError::DevicesSkipped(_)
            | SyncError::DeviceList(_)
            | SyncError::SignIn(_) => Self::Wait(error),
            _ => Self::Never(error),
        }
    }
}

impl From<SendError> for SyncError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Api(error) => Self::Supabase(error),
            SendError::Wait(error) | SendError::Never(error) => error,
        }
    }
}
