//! Reads as the signed-in user: the source of pages, with the caller's patience.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levi_transport::rows::{DeviceRow, MessageRow, SecretRow, SessionOwner, decode_rows};
use levi_transport::{
    ApiError, DevicesOf, MessagesOf, OwnersBetween, PageSource, PagedQuery, PassedOver, RowsPage, SecretsFor,
    Select, SharedPageSize, Verdict, next_page, read_all, read_one,
};
use levi_types::{AccessToken, AuthError, AuthSession, DeviceId, SessionId};
use rand::rand_core::TryRng as _;
use rand::rngs::SysRng;

use crate::delay::delay;
use crate::read_policy::{PageSizes, Retries};
use crate::request_error::RequestError;
use crate::server::Server;

/// The longest single wait of a read. What takes longer is the caller's to decide.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The most devices of one user. Each gets an envelope for each session.
pub(crate) const MOST_DEVICES: usize = 10_000;

/// The most pages of owners that are learned at once. Owners that are not learned are asked for one by one.
const MOST_OWNER_PAGES: usize = 16;

/// The server for one read of one user.
pub(crate) struct Reads<'a> {
    server: &'a Server,
    retries: Retries,
    /// With the token that was granted last.
    auth: Mutex<AuthSession>,
    /// The token at the beginning, which may have expired.
    begun_with: AccessToken,
    /// Why there was no other token when the last one was refused.
    no_token: Mutex<Option<AuthError>>,
    /// How the last request failed, for [`OnReadRetry`](crate::OnReadRetry).
    failed: Mutex<Option<ApiError>>,
    /// The devices of sessions that were asked for together.
    owners: Mutex<HashMap<SessionId, DeviceId>>,
    /// The devices that were asked for: one device has sealed the secrets of many sessions.
    devices: Mutex<HashMap<DeviceId, DeviceRow>>,
    /// Whether the device list was looked at for what this read could not open.
    has_looked_at_list: AtomicBool,
}

impl Server {
    /// A read of the signed-in user.
    pub(crate) fn reads<'a>(&'a self, auth: &AuthSession, retries: Retries) -> Reads<'a> {
        Reads::new(self, auth, retries)
    }
}

impl<'a> Reads<'a> {
    fn new(server: &'a Server, auth: &AuthSession, retries: Retries) -> Self {
        Self {
            server,
            retries,
            auth: Mutex::new(auth.clone()),
            begun_with: auth.access_token.clone(),
            no_token: Mutex::default(),
            failed: Mutex::default(),
            owners: Mutex::default(),
            devices: Mutex::default(),
            has_looked_at_list: AtomicBool::new(false),
        }
    }

    /// The user's active devices that have a public key. A row that cannot be read is named.
    pub(crate) async fn active_devices(
        &self,
    ) -> Result<Vec<Result<DeviceRow, PassedOver<DeviceId>>>, RequestError> {
        let user = self.auth().user_id.clone();
        self.all(&DevicesOf(&user), &self.server.sizes.devices, MOST_DEVICES).await
    }

    /// One device, active or not.
    pub(crate) async fn device(&self, device: &DeviceId) -> Result<Option<DeviceRow>, RequestError> {
        let known = self.devices.lock().unwrap_or_else(PoisonError::into_inner).get(device).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let rows: Vec<DeviceRow> = decode_rows(&self.read_one(Select::device(device)).await?)?;
        let row = rows.into_iter().find(|row| row.id == *device);
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = row.as_ref().filter(|_| devices.len() < MOST_DEVICES) {
            devices.insert(device.clone(), row.clone());
        }
        Ok(row)
    }

    /// Asks for the owners of the user's sessions from `first` to `last` together, in place of those it learned before.
    pub(crate) async fn learn_owners(&self, first: &SessionId, last: &SessionId) -> Result<(), RequestError> {
        let user = self.auth().user_id.clone();
        let query = OwnersBetween { user: &user, first, last };
        let (mut owners, mut after) = (HashMap::new(), None);
        for _ in 0..MOST_OWNER_PAGES {
            let page = self.page(&query, after.as_ref(), u32::MAX, &self.server.sizes.sessions).await?;
            owners.extend(page.rows.into_iter().flatten().map(|row| (row.id, row.device_id)));
            after = page.cursor;
            if after.as_ref().is_none_or(|cursor| cursor >= last) {
                break;
            }
        }
        *self.owners.lock().unwrap_or_else(PoisonError::into_inner) = owners;
        Ok(())
    }

    /// The device that owns the session, if the server knows the session.
    pub(crate) async fn session_owner(&self, session: &SessionId) -> Result<Option<DeviceId>, RequestError> {
        let learned = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(session).cloned();
        if learned.is_some() {
            return Ok(learned);
        }
        let owners: Vec<SessionOwner> = decode_rows(&self.read_one(Select::session_owner(session)).await?)?;
        Ok(owners.into_iter().find(|owner| owner.id == *session).map(|owner| owner.device_id))
    }

    /// The envelope of the session for the device.
    pub(crate) async fn secret(
        &self,
        session: &SessionId,
        device: &DeviceId,
    ) -> Result<Option<SecretRow>, RequestError> {
        let rows: Vec<SecretRow> = decode_rows(&self.read_one(Select::secret(session, device)).await?)?;
        Ok(rows.into_iter().next())
    }

    /// At most `limit` sessions past `after` of which `device` has a secret.
    pub(crate) async fn sessions_of(
        &self,
        device: &DeviceId,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<RowsPage<SecretRow, SessionId>, RequestError> {
        self.page(&SecretsFor(device), after, limit, &self.server.sizes.secrets).await
    }

    /// At most `limit` messages past `after`.
    pub(crate) async fn messages(
        &self,
        session: &SessionId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<RowsPage<MessageRow, i64>, RequestError> {
        self.page(&MessagesOf(session), after.as_ref(), limit, &self.server.sizes.messages).await
    }

    /// At most `limit` rows of `query` past `after`.
    pub(crate) async fn page<Q: PagedQuery>(
        &self,
        query: &Q,
        after: Option<&Q::Key>,
        limit: u32,
        size: &SharedPageSize,
    ) -> Result<RowsPage<Q::Row, Q::Key>, RequestError> {
        next_page(self, query, after, limit, size).await.map_err(|error| self.named(error))
    }

    /// Every row of `query`, at most `most`.
    pub(crate) async fn all<Q: PagedQuery>(
        &self,
        query: &Q,
        size: &SharedPageSize,
        most: usize,
    ) -> Result<Vec<Result<Q::Row, PassedOver<Q::Key>>>, RequestError> {
        read_all(self, query, size, most).await.map_err(|error| self.named(error))
    }

    /// The sizes of pages that worked.
    pub(crate) const fn sizes(&self) -> &PageSizes {
        &self.server.sizes
    }

    pub(crate) async fn read_one(&self, select: Select) -> Result<Vec<u8>, RequestError> {
        read_one(self, select).await.map_err(|error| self.named(error))
    }

    /// Whether this read may look at the device list, which it does once whatever it cannot open.
    pub(crate) fn may_look_at_list(&self) -> bool {
        !self.has_looked_at_list.swap(true, Ordering::AcqRel)
    }

    /// Tells a refused token from other refusals.
    pub(crate) fn named(&self, refusal: ApiError) -> RequestError {
        match self.no_token.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(auth) => RequestError::TokenRefused { refusal, auth },
            None => RequestError::Api(refusal),
        }
    }

    /// A token other than the one that was refused.
    async fn refresh(&self, auth: &AuthSession, refusal: ApiError) -> Result<AuthSession, ApiError> {
        match self.server.refresh(auth, refusal).await {
            Ok(fresh) => Ok(fresh),
            Err(RequestError::Api(refusal)) => Err(refusal),
            Err(RequestError::TokenRefused { refusal, auth }) => {
                *self.no_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(auth);
                Err(refusal)
            }
        }
    }

    async fn select_as_user(&self, select: Select) -> Result<Vec<u8>, ApiError> {
        let auth = self.auth().clone();
        match self.server.supabase.select(&auth.access_token, select.clone()).await {
            // A token that was granted during this read is waited for: a fresher one would be refused as well.
            Err(error) if error.verdict == Verdict::SignedOut && auth.access_token != self.begun_with => {
                Err(not_accepted_yet(error))
            }
            Err(error) if error.verdict == Verdict::SignedOut => {
                let fresh = self.refresh(&auth, error).await?;
                *self.auth() = fresh.clone();
                let repeated = self.server.supabase.select(&fresh.access_token, select).await;
                repeated.map_err(not_accepted_yet)
            }
            result => result,
        }
    }

    fn auth(&self) -> std::sync::MutexGuard<'_, AuthSession> {
        // Every change is one assignment.
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PageSource for Reads<'_> {
    async fn select(&self, select: Select) -> Result<Vec<u8>, ApiError> {
        let result = self.select_as_user(select).await;
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = result.as_ref().err().cloned();
        result
    }

    async fn wait(&self, retry: u32, at_least: Option<Duration>) -> ControlFlow<()> {
        let Retries { backoff, most } = self.retries;
        if retry > most {
            return ControlFlow::Break(());
        }
        let time = backoff.delay(retry, draw()).max(at_least.unwrap_or_default());
        if time > LONGEST_WAIT {
            return ControlFlow::Break(());
        }
        tracing::info!(retry, ?time, "a read is tried again");
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(tell), Some(error)) = (&self.server.on_read_retry, failed) {
            tell(&error, time);
        }
        delay(time).await;
        ControlFlow::Continue(())
    }
}

/// A number from 0 up to but not including 1; 0 where the system has no randomness, because it is only jitter.
pub(crate) fn draw() -> f64 {
    let bits = SysRng.try_next_u32().unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// The project refuses a token that the sign-in server granted a moment ago: its clock may be behind. That passes.
fn not_accepted_yet(mut error: ApiError) -> ApiError {
    if error.verdict == Verdict::SignedOut {
        error.verdict = Verdict::Busy;
    }
    error
}
