//! Asks the server for the device list: after a sign-in, at most once a minute while messages are sent, and again and
//! again while nothing can be sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use levi_types::{Clock, UserId};
use tracing::Instrument as _;

use super::dispatcher::Dispatcher;
use crate::batcher::Input;
use crate::delay::delay;
use crate::device_list::{NextLook, SignedDeviceList};

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
        self.list.is_look_due(user, self.clock.now().monotonic)
    }
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
        let mut pause = None;
        loop {
            match self.look_once().await {
                NextLook::WhenDue => return,
                NextLook::AfterPause => {}
                NextLook::AfterRefresh => self.refresh(),
            }
            let time = SignedDeviceList::pause(pause);
            delay(time).await;
            pause = Some(time);
        }
    }

    async fn look_once(&self) -> NextLook {
        let (Some(watch), Some((supabase, user, token))) = (self.device_list(), self.as_signed_in()) else {
            return NextLook::WhenDue;
        };
        watch.list.look_and_write(supabase, (&user, token), watch.clock.now().monotonic).await
    }
}
