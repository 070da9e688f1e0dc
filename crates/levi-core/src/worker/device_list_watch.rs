//! Asks the server for the device list: after a sign-in, at most once a minute while messages are sent, and again and
//! again while nothing can be sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use levi_transport::Verdict;
use levi_transport::rows::upsert_of;
use levi_types::{Clock, UserId};
use tracing::Instrument as _;

use super::dispatcher::Dispatcher;
use crate::batcher::Input;
use crate::delay::delay;
use crate::device_list::{DeviceListState, LookError, SignedDeviceList, WithToken};

/// While messages are sent, the list is at most this old.
const INTERVAL: Duration = Duration::from_secs(60);

/// The first pause while nothing can be sealed. It doubles up to [`INTERVAL`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The list, and whether the server is being asked.
pub(super) struct DeviceListWatch {
    list: SignedDeviceList,
    clock: Arc<dyn Clock>,
    is_looking: AtomicBool,
}

impl DeviceListWatch {
    pub(super) fn new(list: SignedDeviceList, clock: Arc<dyn Clock>) -> Self {
        Self { list, clock, is_looking: AtomicBool::new(false) }
    }

    /// Reads what is stored, so that the state is known without the server.
    pub(super) fn load(&self, user: &UserId) {
        self.list.load(user);
    }

    fn is_due(&self, user: &UserId) -> bool {
        !self.list.state().may_seal() || self.list.is_due(user, self.clock.now().monotonic, INTERVAL)
    }
}

/// What to do after a look.
enum Next {
    Done,
    LookAgain,
    /// The server refused the token.
    Refresh,
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
    /// Tells the engine whenever what is known of the list changes, whoever noticed it: what waits may be sealed now, and the
    /// status is another one. If nothing can be sealed any more, the server is asked until that is over.
    pub(super) fn watch_device_list(self: &Arc<Self>) {
        let Some(watch) = self.device_list() else { return };
        let (mut state, engine) = (watch.list.watch(), Arc::downgrade(self));
        self.spawn_request(async move {
            // The list outlives the worker only if the daemon keeps it.
            while state.changed().await.is_ok() {
                let Some(engine) = engine.upgrade() else { return };
                engine.notify(Input::NetworkChanged);
                if !state.borrow().may_seal() {
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
        let look = async move { looking.0.look_until_settled().await };
        self.spawn_request(look.instrument(tracing::info_span!("levi.device_list")));
    }

    /// Asks until messages can be sealed, or nobody is signed in any more.
    async fn look_until_settled(self: &Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look_once().await {
                Next::Done => return,
                Next::LookAgain => {}
                Next::Refresh => self.refresh(),
            }
            delay(pause).await;
            pause = (pause * 2).min(INTERVAL);
        }
    }

    async fn look_once(&self) -> Next {
        let (Some(watch), Some((supabase, user, token))) = (self.device_list(), self.as_signed_in()) else {
            return Next::Done;
        };
        let source = WithToken { supabase, token };
        let looked = watch.list.look(&source, &user).await;
        if looked.is_ok() {
            write_owed_keyrings(&watch.list, &source, &user).await;
        }
        match &looked {
            Ok(_) => watch.list.looked_at(watch.clock.now().monotonic),
            Err(LookError::Server(error)) => {
                tracing::debug!(code = error.code, "the device list was not read");
            }
            Err(LookError::Store(problem)) => tracing::warn!("{problem}"),
        }
        match looked {
            _ if watch.list.owed_keyrings(&user).is_some() => Next::LookAgain,
            _ if watch.list.state().may_seal() => Next::Done,
            // Only a person can change that.
            Ok(DeviceListState::Stopped(crate::DeviceListProblem::Removed)) => Next::Done,
            Err(LookError::Server(error)) if error.verdict == Verdict::SignedOut => Next::Refresh,
            _ => Next::LookAgain,
        }
    }
}

/// Writes the keyrings that this device was interrupted in. If that fails, the next look tries again.
async fn write_owed_keyrings(list: &SignedDeviceList, source: &WithToken, user: &UserId) {
    let Some(keyrings) = list.owed_keyrings(user) else { return };
    match source.supabase.upsert(&source.token, upsert_of(&keyrings)).await {
        Ok(()) => {
            if let Err(LookError::Store(problem)) = list.keyrings_are_written(user) {
                tracing::warn!("{problem}");
            }
        }
        Err(error) => tracing::warn!(code = error.code, "the keyrings of the new epoch were not written"),
    }
}
