//! Devices that cannot be given secrets: one of them keeps the secrets of all sessions waiting, so it is looked for once
//! for all of them, and not once for each.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_outbox::backoff::Backoff;
use levi_types::{DeviceId, Now, SessionId};

use super::recipients::ToServe;
use super::secret::Distribution;
use crate::device_list::has_passed;
use crate::sync_error::EncryptionError;

/// What is known of the user's devices since some of them were skipped. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Skipped(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    devices: Devices,
    skipped: Vec<(DeviceId, EncryptionError)>,
    /// The sessions whose secret all the others of these devices have.
    served: HashSet<SessionId>,
    /// When the server was asked for the devices, and how often it showed the same ones.
    looks: Option<(Now, u32)>,
}

/// Who is there, with which keys. Other ones may all be served.
#[derive(Default, PartialEq, Eq)]
struct Devices {
    with_keys: Vec<(DeviceId, Option<String>)>,
    unreadable: Vec<DeviceId>,
}

impl Skipped {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a distribution would come to as far as is known, without a request: the same devices would be skipped.
    pub(super) fn known(&self, session: &SessionId, now: Now) -> Option<Distribution> {
        let state = self.state();
        let is_known = state.served.contains(session) && !state.is_look_due(now);
        is_known.then(|| Distribution { delivered: Vec::new(), skipped: state.skipped.clone() })
    }

    /// The server shows these devices.
    pub(super) fn seen(&self, shown: &ToServe, now: Now) {
        let devices = Devices::of(shown);
        let mut state = self.state();
        if state.devices != devices {
            *state = State { devices, looks: Some((now, 1)), ..State::default() };
        } else if state.is_look_due(now) {
            let before = state.looks.map_or(0, |(_, looks)| looks);
            state.looks = Some((now, before.saturating_add(1)));
        }
    }

    /// The devices that were seen last have the session's secret, but for those that are skipped in the same way for every
    /// session.
    pub(super) fn served(&self, session: &SessionId, skipped: &[(DeviceId, EncryptionError)]) {
        let mut state = self.state();
        if skipped.is_empty() {
            state.served.remove(session);
        } else {
            state.skipped = skipped.to_vec();
            state.served.insert(session.clone());
        }
    }

    /// The session may have another secret now, or may have lost its envelopes.
    pub(super) fn forget(&self, session: &SessionId) {
        self.state().served.remove(session);
    }
}

impl State {
    /// The pace is that of retries, for all sessions together.
    fn is_look_due(&self, now: Now) -> bool {
        let pause = |looks| Backoff::default().unjittered(looks);
        self.looks.is_none_or(|(at, looks)| has_passed(pause(looks), at, now))
    }
}

impl Devices {
    fn of(shown: &ToServe) -> Self {
        let with_keys = shown.devices.iter().map(|device| (device.id.clone(), device.public_key.clone()));
        let unreadable = shown.skipped.iter().map(|(device, _)| device.clone());
        Self { with_keys: with_keys.collect(), unreadable: unreadable.collect() }
    }
}
