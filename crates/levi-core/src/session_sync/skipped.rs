//! Devices that cannot be given secrets: one of them keeps the secrets of all sessions waiting, so it is looked for once
//! for all of them, and not once for each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levi_outbox::backoff::Backoff;
use levi_transport::rows::DeviceRow;
use levi_types::{DeviceId, Now, SessionId};

use super::recipients::ToServe;
use super::secret::{Distribution, is_tried_again};
use crate::device_list::has_passed;
use crate::sync_error::EncryptionError;

/// What is known of the user's devices since some of them were skipped. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Skipped(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    devices: Devices,
    skipped: Vec<(DeviceId, EncryptionError)>,
    /// How far the secrets of sessions are given to the others of these devices.
    sessions: HashMap<SessionId, Progress>,
    /// When the server was asked for the devices, and how often it showed the same ones.
    looks: Option<(Now, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The envelopes are on their way. If the session is forgotten meanwhile, they may not stay on the server.
    Underway,
    /// The devices have them, and the secret's row is tried again for those that are skipped.
    Served,
}

/// Who is there, with which keys. Other ones may all be served.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Devices {
    readable: Vec<Device>,
    unreadable: Vec<DeviceId>,
}

#[derive(PartialEq, Eq)]
struct Device {
    id: DeviceId,
    public_key: Option<String>,
    /// The daemon may trust a device later, under the same key.
    is_accepted: bool,
}

impl Skipped {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a distribution would come to as far as is known, without a request: the same devices would be skipped.
    pub(super) fn known(&self, session: &SessionId, now: Now) -> Option<Distribution> {
        let state = self.state();
        let is_known = state.sessions.get(session) == Some(&Progress::Served) && !state.is_look_due(now);
        is_known.then(|| Distribution { delivered: Vec::new(), skipped: state.skipped.clone() })
    }

    /// The server shows these devices.
    pub(super) fn seen(&self, devices: Devices, now: Now) {
        let mut state = self.state();
        if state.devices != devices {
            *state = State { devices, looks: Some((now, 1)), ..State::default() };
        } else if state.is_look_due(now) {
            let before = state.looks.map_or(0, |(_, looks)| looks);
            state.looks = Some((now, before.saturating_add(1)));
        }
    }

    /// The session's secret is given to the devices that were seen last.
    pub(super) fn underway(&self, session: &SessionId) {
        self.state().sessions.insert(session.clone(), Progress::Underway);
    }

    /// The devices that were seen last have the session's secret, but for those that are skipped in the same way for every
    /// session.
    pub(super) fn served(&self, session: &SessionId, skipped: &[(DeviceId, EncryptionError)]) {
        let mut state = self.state();
        if !skipped.iter().any(|(_, error)| is_tried_again(error)) {
            state.sessions.remove(session);
        } else if let Some(progress) = state.sessions.get_mut(session) {
            *progress = Progress::Served;
            state.skipped = skipped.to_vec();
        }
    }

    /// The session may have another secret now, or may have lost its envelopes.
    pub(super) fn forget(&self, session: &SessionId) {
        self.state().sessions.remove(session);
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
    pub(super) fn of(shown: &ToServe, is_accepted: impl Fn(&DeviceRow) -> bool) -> Self {
        let readable = shown.devices.iter().map(|device| Device {
            id: device.id.clone(),
            public_key: device.public_key.clone(),
            is_accepted: is_accepted(device),
        });
        let unreadable = shown.skipped.iter().map(|(device, _)| device.clone());
        Self { readable: readable.collect(), unreadable: unreadable.collect() }
    }
}
