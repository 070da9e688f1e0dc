//! A session's secret in the outbox, under the database key, for a daemon whose store does not have it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use levi_crypto::SessionSecret;
use levi_crypto::at_rest::{self, DatabaseKey, Slot};
use levi_outbox::Reason;
use levi_types::SessionId;
use rand_core::CryptoRng;

use crate::sync_error::{EncryptionError, SyncError};

/// Encrypts the secret, in base64.
pub(super) fn seal(
    key: &DatabaseKey,
    session_id: &SessionId,
    secret: &SessionSecret,
    random: &mut dyn CryptoRng,
) -> Result<String, SyncError> {
    // Exposed to be encrypted for the disk.
    let sealed = at_rest::seal(key, slot(session_id), secret.expose().as_bytes(), random);
    Ok(BASE64.encode(sealed.map_err(EncryptionError::from)?))
}

/// Decrypts what [`seal`] returned.
pub(super) fn open(
    key: Option<DatabaseKey>,
    session_id: &SessionId,
    sealed: &str,
) -> Result<SessionSecret, SyncError> {
    let missing = || SyncError::SecretNotFound(session_id.clone());
    let key = key.ok_or_else(missing)?;
    let sealed = BASE64.decode(sealed).map_err(|_| missing())?;
    // A wrong database key may be put right, as for messages.
    let other_key = |error| {
        let detail = format!("the secret cannot be opened with this database key: {error}");
        SyncError::Waiting(Reason { code: "database_key".into(), detail })
    };
    let text = at_rest::open(&key, slot(session_id), &sealed).map_err(other_key)?;
    let text = std::str::from_utf8(&text).map_err(|_| missing())?;
    Ok(SessionSecret::parse(text).map_err(EncryptionError::from)?)
}

/// Named after the table that had the secrets before schema 3, because they are bound to it.
fn slot(session_id: &SessionId) -> Slot<'_> {
    Slot { table: "levi_tasks", row_key: session_id.as_str(), column: "secret" }
}
