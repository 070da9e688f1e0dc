//! Reading messages back from an outbox, for an export.

use levi_crypto::at_rest::{self, DatabaseKey};
use levi_crypto::message::{self, MessagePosition};
use levi_crypto::message_v2::{self, Epoch, EpochMessageKey, EpochSecret, WireNonce, WireNonceError};
use levi_crypto::{MessageKey, OpenError, SealError};
use levi_devices::keyring::Keyring;
use levi_outbox::{Encryption, ListedRow};
use levi_transport::rows::{MessageRow, NotBase64};

use crate::sealer::{row_key, slot};

/// Why a stored row cannot be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// It is under the session's key, which was not given.
    #[error("the session's key is not on this device")]
    NoMessageKey,
    /// It is under the key of an epoch of the device list, whose secret was not given.
    #[error("the secret of epoch {0} of the device list is not on this device")]
    NoEpochSecret(Epoch),
    /// It says that it is of version 2, and its nonce is malformed.
    #[error(transparent)]
    Nonce(#[from] WireNonceError),
    /// Its session's id is too long for a key of version 2.
    #[error(transparent)]
    Key(#[from] SealError),
    /// It is under the database key, which was not given.
    #[error("the database key is not here")]
    NoDatabaseKey,
    /// It is no message, or Levi did not write it.
    #[error("the row is no message, was not written by Levi, or is damaged")]
    Malformed,
    /// A column is not base64.
    #[error(transparent)]
    Encoding(#[from] NotBase64),
    /// It was sealed under another key or for another position, or altered since.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What the rows of one session may be under. What is missing is needed by some rows only.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoredKeys<'k> {
    /// The session's key, then those that it had before on this device.
    pub session: &'k [MessageKey],
    /// The secrets of the epochs of the user's device list.
    pub epochs: Option<&'k Keyring>,
    /// The key of what is stored on this device.
    pub database: Option<&'k DatabaseKey>,
}

/// The content of a row of the outbox, given its payload and the keys that its encryption asks for.
///
/// # Errors
/// [`StoredError`], which holds neither content nor key.
pub fn open_stored(row: &ListedRow, payload: &[u8], keys: StoredKeys<'_>) -> Result<String, StoredError> {
    let session_id = row.lane.session_id().ok_or(StoredError::Malformed)?;
    match row.encryption {
        Encryption::SessionKey => {
            let sealed: MessageRow = serde_json::from_slice(payload).map_err(|_| StoredError::Malformed)?;
            let place = MessagePosition { session_id, sequence_number: row.sequence_number };
            let epoch_secret = |epoch| keys.epochs?.secret(epoch).cloned();
            let (present, earlier) = keys.session.split_first().ok_or(StoredError::NoMessageKey)?;
            open_sealed(&sealed, place, present, epoch_secret).or_else(|error| {
                let opened = |key| open_sealed(&sealed, place, key, epoch_secret).ok();
                earlier.iter().find_map(opened).ok_or(error)
            })
        }
        Encryption::DatabaseKey => {
            let key = keys.database.ok_or(StoredError::NoDatabaseKey)?;
            let name = row_key(session_id, row.sequence_number);
            let content = at_rest::open(key, slot(&name), payload)?;
            let content = std::str::from_utf8(&content).map_err(|_| StoredError::Malformed)?;
            Ok(content.to_owned())
        }
        Encryption::None => Err(StoredError::Malformed),
    }
}

/// The content of a row under its session's key.
pub(crate) fn open_sealed(
    row: &MessageRow,
    position: MessagePosition<'_>,
    session_key: &MessageKey,
    epoch_secret: impl Fn(Epoch) -> Option<EpochSecret>,
) -> Result<String, StoredError> {
    if !message_v2::is_version_2(&row.content_nonce) {
        return Ok(message::open(session_key, position, &row.ciphertext()?, &row.nonce()?)?);
    }
    let WireNonce { epoch, nonce } = message_v2::nonce_from_wire(&row.content_nonce)?;
    let secret = epoch_secret(epoch).ok_or(StoredError::NoEpochSecret(epoch))?;
    let key = EpochMessageKey::of(session_key, position.session_id, epoch, &secret)?;
    Ok(message_v2::open(&key, position, &row.ciphertext()?, &nonce)?.content)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use levi_crypto::SessionSecret;
    use levi_outbox::{Overwrite, RowId, RowKind};
    use levi_types::{
        CodingSession, DeliveryReport, MessageSyncRequest, Repository, RepositoryId, SecretString, SessionId,
        SessionStore, StoreError, Wall,
    };
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    use super::*;
    use crate::sealer::Sealer;
    use crate::sealing_key::SealingMode;
    use crate::secrets_cache::{HighestKnown, SecretsCache};

    struct NoSessions;

    impl SessionStore for NoSessions {
        fn session_secret(&self, _: &SessionId) -> Result<Option<SecretString>, StoreError> {
            Ok(None)
        }

        fn repository(&self, _: &RepositoryId) -> Result<Option<Repository>, StoreError> {
            Ok(None)
        }

        fn session(&self, _: &SessionId) -> Result<Option<CodingSession>, StoreError> {
            Ok(None)
        }

        fn record(&self, _: &[DeliveryReport]) -> Result<(), StoreError> {
            Ok(())
        }
    }

    #[test]
    fn what_was_stored_is_read_back_with_the_right_key_at_its_own_position_only() {
        let secret = SessionSecret::generate(&mut UnwrapErr(SysRng));
        let database_key = DatabaseKey::generate(&mut UnwrapErr(SysRng));
        let cache = SecretsCache::new();
        let sealer = Sealer::new(cache.clone(), Arc::new(NoSessions), Some(database_key.clone()));
        let mut random = UnwrapErr(SysRng);
        let request = MessageSyncRequest {
            message_id: "m".into(),
            session_id: "s".into(),
            sequence_number: 7,
            content: "\0 \u{1F680} the content".into(),
        };
        let mut seal = |sealer: &Sealer, user| {
            let before = HighestKnown::default();
            sealer.seal(&request, user, Overwrite::OwnOnly, before, Wall::default(), &mut random).unwrap()
        };
        let wrapped = seal(&sealer, None);
        cache.remember("s".into(), &secret);
        let sealed = seal(&sealer, None);
        let (user, first) = ("ada".into(), EpochSecret::from_bytes([3; 32]));
        cache.use_device_list();
        cache.signed_in(&user);
        let mode = SealingMode::Epoch(Epoch::FIRST, first.clone());
        assert!(cache.seal_in(&user, mode, None));
        let in_epoch = seal(&sealer, Some(user));
        assert!(std::str::from_utf8(&in_epoch.payload).unwrap().contains("v2:1:"));
        let (key, keyring) = (secret.message_key(), Keyring::first(first));
        let session = [SessionSecret::generate(&mut UnwrapErr(SysRng)).message_key(), key];
        let keys = StoredKeys { session: &session, epochs: Some(&keyring), database: Some(&database_key) };
        let rows = [
            (wrapped, Encryption::DatabaseKey),
            (sealed, Encryption::SessionKey),
            (in_epoch, Encryption::SessionKey),
        ];
        for (new, encryption) in rows {
            assert_eq!(new.encryption, encryption);
            let mut row = ListedRow {
                id: RowId(1),
                version: 0,
                kind: RowKind::Message,
                lane: new.lane,
                user_id: None,
                held: false,
                sequence_number: 7,
                message_id: new.message_id,
                bytes: 0,
                encryption,
                enqueued_at: Wall::default(),
                parked: false,
                attempts: 0,
                due_at: None,
                blocked_by: None,
                parent_is_parked: false,
                reason: None,
            };
            assert_eq!(open_stored(&row, &new.payload, keys).unwrap(), request.content);
            let missing = open_stored(&row, &new.payload, StoredKeys::default()).unwrap_err();
            assert!(matches!(missing, StoredError::NoMessageKey | StoredError::NoDatabaseKey), "{missing}");
            row.sequence_number = 8;
            assert!(matches!(open_stored(&row, &new.payload, keys), Err(StoredError::Open(_))));
        }
    }
}
