//! A look at the list by a process that seals, what follows from it, and when to look again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levi_outbox::backoff::Backoff;
use levi_transport::rows::upsert_of;
use levi_transport::{ApiError, PageSource, Select, Supabase, Verdict};
use levi_types::{AccessToken, Now, UserId};

use super::{DeviceListProblem, DeviceListState, LookError, SignedDeviceList};

/// While messages are sent, or rows wait for it, the list is at most this old.
pub(crate) const INTERVAL: Duration = Duration::from_secs(60);

/// The first pause while nothing can be sealed. It doubles up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What follows a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextLook {
    /// The next one when it is due, while messages are sent.
    WhenDue,
    /// Another one after a pause, because nothing can be sealed, or keyrings are missing.
    AfterPause,
    /// As [`AfterPause`](Self::AfterPause), with a fresh token: the server refused this one.
    AfterRefresh,
}

/// Whether `time` has passed since `then`, by either clock: the monotonic one may stand still while the machine sleeps.
pub(crate) fn has_passed(time: Duration, then: Now, now: Now) -> bool {
    now.since(then) >= time
}

impl LookError {
    /// The wait that the server asks for. It is at most the longest delay of an upload, because nothing may be sealed
    /// until the list was looked at.
    pub(crate) fn asked_wait(&self) -> Duration {
        match self {
            Self::Server(error) => error.retry_after.unwrap_or_default().min(Backoff::default().longest()),
            Self::Store(_) | Self::Overtaken => Duration::ZERO,
        }
    }
}

impl SignedDeviceList {
    /// The pause before a look that follows one that did not settle. `before`: the pause before that one, if it did not
    /// settle either.
    pub fn pause(before: Option<Duration>) -> Duration {
        before.map_or(FIRST_PAUSE, |before| (before * 2).min(INTERVAL))
    }

    /// Whether the server is to be asked now.
    pub fn is_look_due(&self, user: &UserId, now: Now) -> bool {
        !self.state().may_seal() || self.is_due(user, now, INTERVAL)
    }

    /// Looks at the list as `user` at `now`, and writes the keyrings that this device owes.
    #[doc(hidden)]
    pub async fn look_and_write(
        &self,
        supabase: Arc<dyn Supabase>,
        (user, token): (&UserId, AccessToken),
        now: Now,
    ) -> NextLook {
        let looked = self.look_with(&WithToken { supabase, token }, user, now).await;
        if looked.is_ok() {
            self.looked_at(now);
        }
        self.next_look(user, &looked)
    }

    /// Looks at the list at `now`, and writes the keyrings that this device began an epoch for and did not write, and now and
    /// then those that somebody has overwritten.
    pub(crate) async fn look_with(
        &self,
        source: &WithToken,
        user: &UserId,
        now: Now,
    ) -> Result<DeviceListState, LookError> {
        let _one_at_a_time = self.lock().await;
        let shown = if self.is_comparison_due(now) {
            self.shown_keyrings(source, user).await.inspect_err(|error| {
                tracing::debug!(code = error.code, "the keyrings were not read");
            })
        } else {
            Ok(None)
        };
        let looked = self.look_while_locked(source, user).await;
        if looked.is_ok() {
            self.write_owed(source, user).await;
        }
        if let (Ok(_), Ok(Some(shown))) = (&looked, &shown) {
            self.mend_keyrings(source, user, shown).await;
            self.compared_at(now);
        }
        looked
    }

    /// What follows a look with this result.
    pub(crate) fn next_look(&self, user: &UserId, looked: &Result<DeviceListState, LookError>) -> NextLook {
        match looked {
            _ if self.owed_keyrings(user).is_some() => NextLook::AfterPause,
            _ if self.state().may_seal() => NextLook::WhenDue,
            // Only a person can change that.
            Ok(DeviceListState::Stopped(DeviceListProblem::Removed)) => NextLook::WhenDue,
            Err(LookError::Server(error)) if error.verdict == Verdict::SignedOut => NextLook::AfterRefresh,
            _ => NextLook::AfterPause,
        }
    }

    /// Writes the keyrings that this device was interrupted at. The caller holds the lock, because
    /// what is stored then must belong to the same list. If that fails, the next look tries again.
    async fn write_owed(&self, source: &WithToken, user: &UserId) {
        let Some(keyrings) = self.owed_keyrings(user) else { return };
        match source.supabase.upsert(&source.token, upsert_of(&keyrings)).await {
            Ok(()) => {
                if let Err(LookError::Store(problem)) = self.keyrings_are_written(user) {
                    tracing::warn!("{problem}");
                }
            }
            Err(error) => tracing::warn!(code = error.code, "the keyrings of the new epoch were not written"),
        }
    }
}

/// Reads with one token and makes one attempt, because the caller repeats the whole look later.
pub(crate) struct WithToken {
    pub(crate) supabase: Arc<dyn Supabase>,
    pub(crate) token: AccessToken,
}

#[async_trait]
impl PageSource for WithToken {
    async fn select(&self, select: Select) -> Result<Vec<u8>, ApiError> {
        self.supabase.select(&self.token, select).await
    }

    async fn wait(&self, _retry: u32, _at_least: Option<Duration>) -> ControlFlow<()> {
        ControlFlow::Break(())
    }
}
