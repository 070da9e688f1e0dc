use levi_crypto::envelope::EnvelopeError;
use levi_crypto::{SealError, SessionSecretError};
use levi_outbox::Reason;
use levi_transport::ApiError;
use levi_types::{AuthError, RepositoryId, SessionId, StoreError, UnknownStatus};

/// Why a session, a repository or a secret could not be synced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// User not logged in.
    #[error("nobody is signed in; sign in first")]
    NotAuthenticated,
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
    #[error("Supabase did not take it: {0}")]
    Supabase(#[from] ApiError),
    /// Crypto error.
    #[error("encryption failed: {0}")]
    Encryption(#[from] EncryptionError),
    /// The daemon's own store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such status.
    #[error(transparent)]
    UnknownStatus(#[from] UnknownStatus),
    /// A uuid in upper case.
    #[error("{0} is a uuid with upper-case letters; the server hands it back in lower case, so write it so")]
    UpperCaseUuid(String),
    /// The sign-in cannot be used now.
    #[error("{0}")]
    SignInUnavailable(String),
    /// It waits, in the outbox, for something else first.
    #[error("it waits: {} ({})", .0.code, .0.detail)]
    Waiting(Reason),
    /// The outbox could not record it.
    #[error("it could not be recorded for a later try: {0}")]
    NotRecorded(String),
}

/// What went wrong with keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptionError {
    /// The secret is malformed.
    #[error(transparent)]
    Secret(#[from] SessionSecretError),
    /// The device's public key cannot be used.
    #[error("the device's public key cannot be used: {0}")]
    Device(#[from] levi_crypto::envelope::DeviceKeyError),
    /// The daemon does not trust the device's public key.
    #[error("the daemon does not trust the device's public key")]
    Untrusted,
    /// The envelope could not be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// The secret could not be wrapped for the disk.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The secret could not be unwrapped from the disk.
    #[error(transparent)]
    Open(#[from] levi_crypto::OpenError),
}

impl From<AuthError> for SyncError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::SignedOut => Self::NotAuthenticated,
            AuthError::Unavailable(why) => Self::SignInUnavailable(why),
        }
    }
}
