//! The server as the signed-in user sees it: a refused token is refreshed once, and the request
//! repeated.

use std::sync::{Arc, OnceLock};

use levi_crypto::envelope::{DevicePrivateKey, DevicePublicKey};
use levi_transport::rows::{MessageRow, Record, decode_rows, upsert_of};
use levi_transport::{ApiError, Select, Supabase, Update, Verdict, user_of_token};
use levi_types::{Auth, AuthError, AuthSession, DeviceId, SessionId, UserId};
use serde::de::IgnoredAny;

use crate::read_policy::{OnReadRetry, PageSizes};
use crate::request_error::RequestError;
use crate::secrets_cache::SecretsCache;

/// The server and who is signed in there.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) auth: Arc<dyn Auth>,
    /// Knows for whom this process acts.
    pub(crate) cache: SecretsCache,
    /// Shared by all clones, so that each read begins with what worked for the last.
    pub(crate) sizes: PageSizes,
    pub(crate) on_read_retry: Option<OnReadRetry>,
    /// For whom this acts: the user of its first use. Shared by all clones.
    user: Arc<OnceLock<UserId>>,
}

/// The device this runs on.
#[derive(Clone)]
pub(crate) struct ThisDevice {
    pub(crate) id: DeviceId,
    pub(crate) key: Arc<DevicePrivateKey>,
    /// Shared by all clones, so that it applies to control rows that were enqueued before it was
    /// set.
    trust: Arc<OnceLock<DeviceTrust>>,
}

/// Says whether a device, with the public key that the server shows for it, is really one of the
/// user's.
pub type DeviceTrust = Arc<dyn Fn(&DeviceId, &DevicePublicKey) -> bool + Send + Sync>;

impl ThisDevice {
    pub(crate) fn new(id: DeviceId, key: DevicePrivateKey) -> Self {
        Self { id, key: Arc::new(key), trust: Arc::default() }
    }

    /// The first call decides.
    pub(crate) fn trust_only(&self, trust: DeviceTrust) {
        let _ = self.trust.set(trust);
    }

    /// Whether a device with this key may be sealed for and read from. This device's own key is its
    /// own, whatever the server shows.
    pub(crate) fn trusts(&self, device: &DeviceId, key: &DevicePublicKey) -> bool {
        if *device == self.id {
            return *key == self.key.public_key();
        }
        self.trust.get().is_none_or(|trust| trust(device, key))
    }

    /// Whether the daemon checks public keys out of band, so that a device it accepts is known to
    /// be the user's.
    pub(crate) fn has_trust(&self) -> bool {
        self.trust.get().is_some()
    }
}

impl Server {
    pub(crate) fn new(supabase: Arc<dyn Supabase>, auth: Arc<dyn Auth>, cache: SecretsCache) -> Self {
        Self { supabase, auth, cache, sizes: PageSizes::default(), user: Arc::default(), on_read_retry: None }
    }

    /// Acts for `user` from now on, unless it acts for somebody already. Returns for whom.
    pub(crate) fn claim(&self, user: &UserId) -> &UserId {
        self.user.get_or_init(|| user.clone())
    }

    /// For whom this acts; `None` before its first use.
    pub(crate) fn user(&self) -> Option<&UserId> {
        self.user.get()
    }

    pub(crate) async fn session(&self) -> Result<AuthSession, AuthError> {
        // Asked before, because a sign-out may come between.
        let is_new = self.cache.awaits_sign_in();
        let auth = self.auth.session().await?;
        if is_new {
            self.cache.signed_in(&auth.user_id);
        }
        self.check(&auth)?;
        Ok(auth)
    }

    /// Refuses a sign-in whose token is another user's than it says, and one of another user than
    /// this process, or this value, acts for.
    pub(crate) fn check(&self, auth: &AuthSession) -> Result<(), AuthError> {
        let other =
            |expected: &UserId, found| Err(AuthError::OtherUser { expected: expected.clone(), found });
        if let Some(found) = user_of_token(&auth.access_token).filter(|found| *found != auth.user_id) {
            return other(&auth.user_id, found);
        }
        self.cache.check(&auth.user_id)?;
        match self.claim(&auth.user_id) {
            owner if *owner != auth.user_id => other(owner, auth.user_id.clone()),
            _ => Ok(()),
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

    /// Inserts a row unless its key is taken. Says whether it was inserted.
    pub(crate) async fn insert<T: Record>(&self, auth: &AuthSession, row: T) -> Result<bool, RequestError> {
        Ok(self.insert_new(auth, &[row]).await? > 0)
    }

    /// Inserts the rows whose keys are free. Returns how many those were.
    pub(crate) async fn insert_new<T: Record>(
        &self,
        auth: &AuthSession,
        rows: &[T],
    ) -> Result<usize, RequestError> {
        let body = match self.supabase.insert(&auth.access_token, upsert_of(rows)).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                self.supabase.insert(&auth.access_token, upsert_of(rows)).await
            }
            result => result,
        }?;
        let inserted: Vec<IgnoredAny> = decode_rows(&body)?;
        Ok(inserted.len())
    }

    /// Updates the rows that a filter selects. Says whether there was one.
    pub(crate) async fn update(&self, auth: &AuthSession, update: Update) -> Result<bool, RequestError> {
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

    pub(crate) async fn select(&self, auth: &AuthSession, select: Select) -> Result<Vec<u8>, RequestError> {
        match self.supabase.select(&auth.access_token, select.clone()).await {
            Err(error) if error.verdict == Verdict::SignedOut => {
                let auth = self.refresh(auth, error).await?;
                Ok(self.supabase.select(&auth.access_token, select).await?)
            }
            result => Ok(result?),
        }
    }

    /// Upserts all rows but those that the server refuses by themselves, which are returned with
    /// the reason.
    ///
    /// One request takes all of its rows or none, so where one is refused, each half is sent apart.
    pub(crate) async fn upsert_each<'r, T: Record>(
        &self,
        auth: &AuthSession,
        rows: &'r [T],
    ) -> Result<Vec<(&'r T, ApiError)>, RequestError> {
        let mut refused: Vec<(&T, ApiError)> = Vec::new();
        let mut left: Vec<&[T]> = if rows.is_empty() { Vec::new() } else { vec![rows] };
        while let Some(some) = left.pop() {
            match (self.upsert(auth, some).await, some) {
                (Ok(()), _) => {}
                (Err(RequestError::Api(error)), [row]) if error.verdict.blames_rows() => {
                    refused.push((row, error));
                }
                (Err(RequestError::Api(error)), _) if error.verdict.blames_rows() => {
                    let (first, second) = some.split_at(some.len() / 2);
                    left.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        // Not one of many rows was taken: the reason is not in the rows.
        if rows.len() > 1
            && refused.len() == rows.len()
            && let Some((_, error)) = refused.first()
        {
            return Err(error.clone().into());
        }
        Ok(refused)
    }

    /// The highest sequence number of the session's messages on the server.
    pub(crate) async fn last_sequence_number(
        &self,
        auth: &AuthSession,
        session: &SessionId,
    ) -> Result<Option<i64>, RequestError> {
        let rows: Vec<MessageRow> = decode_rows(&self.select(auth, Select::last_message(session)).await?)?;
        let last = rows.into_iter().next().map(|row| row.sequence_number);
        self.cache.heard_highest(&auth.user_id, session, last);
        Ok(last)
    }

    /// A token of the same user other than the refused one.
    pub(crate) async fn refresh(
        &self,
        stale: &AuthSession,
        refusal: ApiError,
    ) -> Result<AuthSession, RequestError> {
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
