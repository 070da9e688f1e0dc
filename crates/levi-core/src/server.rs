//! The server as the signed-in user sees it: a refused token is refreshed once, and the request repeated.

use std::sync::{Arc, OnceLock};

use levi_crypto::envelope::{DevicePrivateKey, DevicePublicKey};
use levi_transport::rows::{DeviceRow, Record, SessionOwner, decode_rows, upsert_of};
use levi_transport::{ApiError, Select, Supabase, Verdict, user_of_token};
use levi_types::{Auth, AuthError, AuthSession, DeviceId, SessionId};

use crate::secrets_cache::SecretsCache;

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

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum RequestError {
    /// The server refused it or could not be reached.
    Api(ApiError),
    /// The server refused the token, and there is no other one.
    TokenRefused { refusal: ApiError, auth: AuthError },
}

impl From<ApiError> for RequestError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
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

    pub(crate) async fn upsert<T: Record>(&self, auth: &AuthSession, rows: &[T]) -> Result<(), RequestError> {
        match self.supabase.upsert(&auth.access_token, upsert_of(rows)).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                Ok(self.supabase.upsert(&auth.access_token, upsert_of(rows)).await?)
            }
            result => Ok(result?),
        }
    }

    pub(crate) async fn select(&self, auth: &AuthSession, select: Select) -> Result<Vec<u8>, RequestError> {
        match self.supabase.select(&auth.access_token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                Ok(self.supabase.select(&auth.access_token, select).await?)
            }
            result => Ok(result?),
        }
    }

    /// The user's active devices that have a public key.
    pub(crate) async fn active_devices(&self, auth: &AuthSession) -> Result<Vec<DeviceRow>, RequestError> {
        Ok(decode_rows(&self.select(auth, Select::active_devices(&auth.user_id)).await?)?)
    }

    /// One device, active or not.
    pub(crate) async fn device(
        &self,
        auth: &AuthSession,
        device: &DeviceId,
    ) -> Result<Option<DeviceRow>, RequestError> {
        let rows: Vec<DeviceRow> = decode_rows(&self.select(auth, Select::device(device)).await?)?;
        Ok(rows.into_iter().next())
    }

    /// The device that owns the session, if the server knows the session.
    pub(crate) async fn session_owner(
        &self,
        auth: &AuthSession,
        session: &SessionId,
    ) -> Result<Option<DeviceId>, RequestError> {
        let owners: Vec<SessionOwner> =
            decode_rows(&self.select(auth, Select::session_owner(session)).await?)?;
        Ok(owners.into_iter().next().map(|owner| owner.device_id))
    }

    /// A token of the same user other than the refused one.
    async fn refresh(&self, stale: &AuthSession, refusal: ApiError) -> Result<AuthSession, RequestError> {
        let fresh = self.auth.refresh(&stale.access_token).await.and_then(|fresh| {
            self.check(&fresh)?;
            if fresh.user_id == stale.user_id {
                return Ok(fresh);
            }
            Err(AuthError::OtherUser { expected: stale.user_id.clone(), found: fresh.user_id })
        });
        fresh.map_err(|auth| RequestError::TokenRefused { refusal, auth })
    }
}
