//! The server as the signed-in user sees it: a refused token is refreshed once, and the request repeated.

use std::sync::{Arc, OnceLock};

use levi_crypto::envelope::{DevicePrivateKey, DevicePublicKey};
use levi_transport::rows::{DeviceRow, MessageRow, Record, SessionOwner, decode_rows, upsert_of};
use levi_transport::{ApiError, Select, Supabase, Update, Verdict, user_of_token};
use levi_types::{Auth, AuthError, AuthSession, DeviceId, SessionId};
use serde::de::IgnoredAny;

use crate::secrets_cache::SecretsCache;
use crate::sync_error::SyncError;

/// The server and who is signed in there.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) auth: Arc<dyn Auth>,
    /// Knows for whom this process acts.
    pub(crate) cache: SecretsCache,
}

/// The device this runs on.
#[derive(Clone)]
pub(crate) struct ThisDevice {
    pub(crate) id: DeviceId,
    pub(crate) key: Arc<DevicePrivateKey>,
    /// Shared by all clones, so that it applies to control rows that were enqueued before it was set.
    trust: Arc<OnceLock<DeviceTrust>>,
}

/// Says whether a device, with the public key that the server shows for it, is really one of the user's.
pub type DeviceTrust = Arc<dyn Fn(&DeviceId, &DevicePublicKey) -> bool + Send + Sync>;

impl ThisDevice {
    pub(crate) fn new(id: DeviceId, key: DevicePrivateKey) -> Self {
        Self { id, key: Arc::new(key), trust: Arc::default() }
    }

    /// The first call decides.
    pub(crate) fn trust_only(&self, trust: DeviceTrust) {
        let _ = self.trust.set(trust);
    }

    pub(crate) fn trusts(&self, device: &DeviceId, key: &DevicePublicKey) -> bool {
        self.trust.get().is_none_or(|trust| trust(device, key))
    }
}

impl Server {
    pub(crate) async fn session(&self) -> Result<AuthSession, AuthError> {
        let auth = self.auth.session().await?;
        self.check(&auth)?;
        Ok(auth)
    }

    /// Refuses a sign-in whose token is another user's than it says, and one of another user than this process
    /// acts for.
    pub(crate) fn check(&self, auth: &AuthSession) -> Result<(), AuthError> {
        match user_of_token(&auth.access_token) {
            Some(found) if found != auth.user_id => {
                Err(AuthError::OtherUser { expected: auth.user_id.clone(), found })
            }
            _ => self.cache.check(&auth.user_id),
        }
    }

    pub(crate) async fn upsert<T: Record>(&self, auth: &AuthSession, rows: &[T]) -> Result<(), ApiError> {
        match self.supabase.upsert(&auth.access_token, upsert_of(rows)).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                self.supabase.upsert(&auth.access_token, upsert_of(rows)).await
            }
            result => result,
        }
    }

    /// Inserts a row unless its key is taken. Says whether it was inserted.
    pub(crate) async fn insert<T: Record>(&self, auth: &AuthSession, row: T) -> Result<bool, ApiError> {
        let rows = [row];
        let body = match self.supabase.insert(&auth.access_token, upsert_of(&rows)).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                self.supabase.insert(&auth.access_token, upsert_of(&rows)).await
            }
            result => result,
        }?;
        let inserted: Vec<IgnoredAny> = decode_rows(&body)?;
        Ok(!inserted.is_empty())
    }

    /// Updates the rows that a filter selects. Says whether there was one.
    pub(crate) async fn update(&self, auth: &AuthSession, update: Update) -> Result<bool, ApiError> {
        let body = match self.supabase.update(&auth.access_token, update.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                self.supabase.update(&auth.access_token, update).await
            }
            result => result,
        }?;
        let updated: Vec<IgnoredAny> = decode_rows(&body)?;
        Ok(!updated.is_empty())
    }

    pub(crate) async fn select(&self, auth: &AuthSession, select: Select) -> Result<Vec<u8>, ApiError> {
        match self.supabase.select(&auth.access_token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                self.supabase.select(&auth.access_token, select).await
            }
            result => result,
        }
    }

    /// The user's active devices that have a public key.
    pub(crate) async fn active_devices(&self, auth: &AuthSession) -> Result<Vec<DeviceRow>, ApiError> {
        decode_rows(&self.select(auth, Select::active_devices(&auth.user_id)).await?)
    }

    /// One device, active or not.
    pub(crate) async fn device(
        &self,
        auth: &AuthSession,
        device: &DeviceId,
    ) -> Result<Option<DeviceRow>, ApiError> {
        let rows: Vec<DeviceRow> = decode_rows(&self.select(auth, Select::device(device)).await?)?;
        Ok(rows.into_iter().next())
    }

    /// The device that owns the session, if the server knows the session.
    pub(crate) async fn session_owner(
        &self,
        auth: &AuthSession,
        session: &SessionId,
    ) -> Result<Option<DeviceId>, ApiError> {
        let owners: Vec<SessionOwner> =
            decode_rows(&self.select(auth, Select::session_owner(session)).await?)?;
        Ok(owners.into_iter().next().map(|owner| owner.device_id))
    }

    /// The highest sequence number of the session's messages on the server.
    pub(crate) async fn last_sequence_number(
        &self,
        auth: &AuthSession,
        session: &SessionId,
    ) -> Result<Option<i64>, ApiError> {
        let rows: Vec<MessageRow> = decode_rows(&self.select(auth, Select::last_message(session)).await?)?;
        Ok(rows.into_iter().next().map(|row| row.sequence_number))
    }

    /// A token of the same user other than the refused one, or the refusal where there is none.
    async fn refresh(&self, stale: &AuthSession, refusal: ApiError) -> Result<AuthSession, ApiError> {
        let fresh = self.auth.refresh(&stale.access_token).await.and_then(|fresh| {
            self.check(&fresh)?;
            if fresh.user_id == stale.user_id {
                return Ok(fresh);
            }
            Err(AuthError::OtherUser { expected: stale.user_id.clone(), found: fresh.user_id })
        });
        fresh.map_err(|error| {
            tracing::info!("no fresh token: {error}");
            refusal
        })
    }
}

/// The highest sequence number of a session's messages on the server; `None` if it shows none.
///
/// # Errors
/// [`SyncError`] if there is no sign-in, or the server does not answer.
pub async fn last_sequence_number(
    supabase: Arc<dyn Supabase>,
    auth: Arc<dyn Auth>,
    cache: SecretsCache,
    session: &SessionId,
) -> Result<Option<i64>, SyncError> {
    let server = Server { supabase, auth, cache };
    let auth = server.session().await?;
    Ok(server.last_sequence_number(&auth, session).await?)
}
