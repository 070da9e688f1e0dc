//! The server as the signed-in user sees it: a refused token is refreshed once, and the request repeated.

use std::sync::{Arc, OnceLock};

use levi_crypto::envelope::{DevicePrivateKey, DevicePublicKey};
use levi_transport::rows::{DeviceRow, Record, SessionOwner, decode_rows, upsert_of};
use levi_transport::{ApiError, Select, Supabase, Verdict};
use levi_types::{AccessToken, DeviceId, SessionId};

use crate::account::{Account, Accounts, NoAccount};

/// The server and who is signed in there.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) accounts: Arc<dyn Accounts>,
}

/// The device this runs on.
#[derive(Clone)]
pub(crate) struct ThisDevice {
    pub(crate) id: DeviceId,
    pub(crate) key: Arc<DevicePrivateKey>,
    /// Shared by all clones, so that tasks recorded before it was set are held to it too.
    trust: Arc<OnceLock<DeviceTrust>>,
}

/// Says whether a device, with the public key that the server shows for it, is really one of the user's.
pub type DeviceTrust = Arc<dyn Fn(&DeviceId, &DevicePublicKey) -> bool + Send + Sync>;

impl ThisDevice {
    pub(crate) fn new(id: DeviceId, key: DevicePrivateKey) -> Self {
        Self { id, key: Arc::new(key), trust: Arc::default() }
    }

    /// The first judge stays.
    pub(crate) fn trust_only(&self, trust: DeviceTrust) {
        let _ = self.trust.set(trust);
    }

    pub(crate) fn trusts(&self, device: &DeviceId, key: &DevicePublicKey) -> bool {
        self.trust.get().is_none_or(|trust| trust(device, key))
    }
}

impl Server {
    pub(crate) async fn account(&self) -> Result<Account, NoAccount> {
        self.accounts.account().await
    }

    pub(crate) async fn upsert<T: Record>(&self, account: &Account, rows: &[T]) -> Result<(), ApiError> {
        match self.supabase.upsert(&account.access_token, upsert_of(rows)).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let account = self.fresh(&account.access_token, error).await?;
                self.supabase.upsert(&account.access_token, upsert_of(rows)).await
            }
            result => result,
        }
    }

    pub(crate) async fn select(&self, account: &Account, select: Select) -> Result<Vec<u8>, ApiError> {
        match self.supabase.select(&account.access_token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let account = self.fresh(&account.access_token, error).await?;
                self.supabase.select(&account.access_token, select).await
            }
            result => result,
        }
    }

    /// The user's active devices that have a public key.
    pub(crate) async fn active_devices(&self, account: &Account) -> Result<Vec<DeviceRow>, ApiError> {
        decode_rows(&self.select(account, Select::active_devices(&account.user_id)).await?)
    }

    /// One device, active or not.
    pub(crate) async fn device(
        &self,
        account: &Account,
        device: &DeviceId,
    ) -> Result<Option<DeviceRow>, ApiError> {
        let rows: Vec<DeviceRow> = decode_rows(&self.select(account, Select::device(device)).await?)?;
        Ok(rows.into_iter().next())
    }

    /// The device that owns the session, if the server knows the session.
    pub(crate) async fn session_owner(
        &self,
        account: &Account,
        session: &SessionId,
    ) -> Result<Option<DeviceId>, ApiError> {
        let owners: Vec<SessionOwner> =
            decode_rows(&self.select(account, Select::session_owner(session)).await?)?;
        Ok(owners.into_iter().next().map(|owner| owner.device_id))
    }

    /// A token other than the refused one, or the refusal where there is none.
    async fn fresh(&self, stale: &AccessToken, refusal: ApiError) -> Result<Account, ApiError> {
        self.accounts.fresh(stale).await.map_err(|error| {
            tracing::info!("no fresh token: {error}");
            refusal
        })
    }
}
