//! Asks the server for the device list: after a sign-in and a sleep, before messages are sent if the list is a minute old,
//! and again and again while nothing can be sealed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levi_types::{AccessToken, Clock, Now, UserId};
use tokio::sync::watch;
use tracing::Instrument as _;

use super::dispatcher::Dispatcher;
use super::recovery_envelopes::Comparison;
use crate::batcher::{Input, Written};
use crate::delay::within;
use crate::device_list::{DeviceListState, LookError, NextLook, SignedDeviceList, WithToken, has_passed};

/// For how long messages wait for a look. A server that does not answer holds nothing up for longer.
const AWAITED: Duration = Duration::from_secs(5);

/// The list, and whether the server is being asked.
pub(super) struct DeviceListWatch {
    list: SignedDeviceList,
    clock: Arc<dyn Clock>,
    is_looking: AtomicBool,
    /// How many looks have ended.
    looks: watch::Sender<u64>,
    failures: Mutex<Failures>,
    /// Of what the recovery key was given.
    pub(super) envelopes: Comparison,
}

/// What became of the last looks.
#[derive(Default)]
struct Failures {
    /// The pause after the last one, if it failed.
    pause: Option<Duration>,
    /// When the last one failed, and for how long no other begins by itself.
    wait: Option<(Now, Duration)>,
    /// The token that was refused last, and for which another one was asked.
    refused: Option<AccessToken>,
}

/// A look that what is sent waits for.
pub(super) struct Awaited(watch::Receiver<u64>);

impl DeviceListWatch {
    pub(super) fn new(list: SignedDeviceList, clock: Arc<dyn Clock>) -> Self {
        let (is_looking, failures) = Default::default();
        let envelopes = Comparison::new(clock.now());
        Self { list, clock, is_looking, looks: watch::Sender::new(0), failures, envelopes }
    }

    /// Reads what is stored, so that the state is known without the server.
    pub(super) fn load(&self, user: &UserId) {
        self.list.load(user);
    }

    pub(super) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(super) fn is_listed(&self) -> bool {
        matches!(self.list.state(), DeviceListState::Listed { .. })
    }

    fn is_due(&self, user: &UserId) -> bool {
        let now = self.now();
        let waits = lock(&self.failures).wait.is_some_and(|(since, time)| !has_passed(time, since, now));
        let is_stopped = !self.list.state().may_seal();
        is_stopped || (!waits && self.list.is_look_due(user, now))
    }

    /// Remembers what became of a look.
    fn ended(&self, looked: &Result<DeviceListState, LookError>) {
        let (now, mut failures) = (self.clock.now(), lock(&self.failures));
        match looked {
            Ok(_) => {
                *failures = Failures::default();
                self.list.looked_at(now);
            }
            Err(LookError::Server(error)) => {
                tracing::debug!(code = error.code, "the device list was not read");
                let pause = SignedDeviceList::pause(failures.pause);
                failures.pause = Some(pause);
                failures.wait = Some((now, pause.max(error.retry_after.unwrap_or_default())));
            }
            Err(LookError::Store(problem)) => tracing::warn!("{problem}"),
            // It counts as none.
            Err(LookError::Overtaken) => {}
        }
        drop(failures);
        self.looks.send_modify(|looks| *looks += 1);
    }

    /// Whether `token`, which was refused, is refused for the first time. Another one does not come by asking again.
    fn is_refused_anew(&self, token: &AccessToken) -> bool {
        lock(&self.failures).refused.replace(token.clone()).as_ref() != Some(token)
    }
}

fn lock(failures: &Mutex<Failures>) -> MutexGuard<'_, Failures> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When to look again.
struct LookAgain {
    next: NextLook,
    /// How long the server asked to wait.
    at_least: Duration,
}

/// Lets the next look begin when this one ends, however it ends.
struct Looking(Arc<Dispatcher>);

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(watch) = self.0.device_list() {
            watch.is_looking.store(false, Ordering::Release);
        }
    }
}

impl Dispatcher {
    /// Tells the engine whenever what is known of the list changes: what waits may be sealed now, and the status is another
    /// one. If nothing can be sealed any more, the server is asked until that is over.
    pub(super) fn watch_device_list(self: &Arc<Self>) {
        let Some(watch) = self.device_list() else { return };
        let (mut state, engine) = (watch.list.watch(), Arc::downgrade(self));
        self.spawn_request(async move {
            // The list outlives the worker only if the daemon keeps it.
            let mut could_seal = state.borrow().may_seal();
            while state.changed().await.is_ok() {
                let Some(engine) = engine.upgrade() else { return };
                let may_seal = state.borrow_and_update().may_seal();
                // Only this sets anything free that waits. Whatever else the server says of the list ends no wait, and
                // is news for the status.
                let is_free = may_seal && !could_seal;
                let nothing_written = Input::Wake(Written::Lanes(Vec::new()));
                engine.notify(if is_free { Input::NetworkChanged } else { nothing_written });
                could_seal = may_seal;
                if !may_seal {
                    engine.look_at_devices();
                }
            }
        });
    }

    /// Asks the server for the device list, if there is one to ask for and it is time.
    pub(super) fn look_at_devices(self: &Arc<Self>) {
        let (Some(watch), Some(user)) = (self.device_list(), self.signed_in_user()) else { return };
        if !watch.is_due(&user) || watch.is_looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let looking = Looking(Arc::clone(self));
        let noted = self.recently_sent.noted();
        let look = async move {
            looking.0.look_until_settled().await;
            let dispatcher = Arc::clone(&looking.0);
            drop(looking);
            dispatcher.reseal_recently_sent(noted).await;
            dispatcher.compare_recovery_envelopes().await;
        };
        self.spawn_request(look.instrument(tracing::info_span!("levi.device_list")));
    }

    /// As [`look_at_devices`](Self::look_at_devices), before messages of `user` are sent. If the list is too old to seal by,
    /// they wait for the look.
    pub(super) fn look_before_sending(self: &Arc<Self>, user: Option<&UserId>) -> Option<Awaited> {
        let (watch, user) = self.device_list().zip(user)?;
        let looks = watch.looks.subscribe();
        let is_awaited = watch.is_due(user) && watch.list.state().may_seal();
        if self.recently_sent.fills_up() && !watch.is_looking.load(Ordering::Acquire) {
            watch.list.forget_last_look();
        }
        self.look_at_devices();
        is_awaited.then_some(Awaited(looks))
    }

    /// Waits for a look. Without an answer, messages are sent as they are.
    pub(super) async fn wait_for_look(&self, awaited: Option<Awaited>) {
        if let Some(Awaited(mut looks)) = awaited {
            let _ = within(AWAITED, looks.changed()).await;
        }
    }

    /// The machine slept, and devices may have been removed meanwhile.
    pub(super) fn look_after_sleep(self: &Arc<Self>) {
        if let Some(watch) = self.device_list() {
            watch.list.forget_last_look();
        }
        self.look_at_devices();
    }

    /// Asks until messages can be sealed, or nobody is signed in any more.
    async fn look_until_settled(self: &Arc<Self>) {
        let mut pause = None;
        while let Some(LookAgain { next, at_least }) = self.look_once().await {
            match next {
                NextLook::WhenDue => return,
                NextLook::AfterPause => {}
                NextLook::AfterRefresh => self.refresh(),
            }
            let time = SignedDeviceList::pause(pause);
            if within(time.max(at_least), self.settled_by_others()).await.is_some() {
                return;
            }
            pause = Some(time);
        }
    }

    /// Returns once messages can be sealed, with what another process has stored. Whatever else it writes cuts no pause
    /// short, because it may write as often as it likes.
    async fn settled_by_others(&self) {
        let Some(watch) = self.device_list() else { return std::future::pending().await };
        let mut state = watch.list.watch();
        // What was stored while this process was looking was left to it.
        self.list_may_have_changed();
        loop {
            // The state is not borrowed for longer, because a change of it holds the lock that `owed_keyrings` takes.
            let may_seal = state.borrow_and_update().may_seal();
            let owes = |user| watch.list.owed_keyrings(&user).is_some();
            if may_seal && !self.signed_in_user().is_none_or(owes) {
                return;
            }
            if state.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Another process on the same folder may have changed what is stored: `levi pair` beside a daemon, for one. Most that
    /// say so have only written to the outbox.
    pub(super) fn list_may_have_changed(&self) {
        if let (Some(watch), Some(user)) = (self.device_list(), self.signed_in_user()) {
            watch.list.catch_up(&user);
        }
    }

    async fn look_once(&self) -> Option<LookAgain> {
        let (watch, (supabase, user, token)) = self.device_list().zip(self.as_signed_in())?;
        let source = WithToken { supabase, token: token.clone() };
        let looked = watch.list.look_with(&source, &user, watch.clock.now()).await;
        watch.ended(&looked);
        let at_least = looked.as_ref().err().map(LookError::asked_wait).unwrap_or_default();
        let next = match watch.list.next_look(&user, &looked) {
            NextLook::AfterRefresh if !watch.is_refused_anew(&token) => NextLook::AfterPause,
            next => next,
        };
        Some(LookAgain { next, at_least })
    }
}
