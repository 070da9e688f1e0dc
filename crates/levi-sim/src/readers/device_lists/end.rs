//! The end: the faults are over, the users do the remaining work, and every promise must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use levi_core::DeviceListState;
use levi_crypto::message_v2;
use levi_transport::rows::{MessageRow, decode_rows};
use levi_transport::{MessagesOf, PagedQuery as _, Supabase as _};
use levi_types::{AccessToken, Clock};

use super::World;
use crate::readers::device::at_once;

/// How long after the faults every device must have continued: its next look at the list is at most
/// a minute away, and so is a repetition.
const IN_TIME: Duration = Duration::from_secs(150);

/// A job that takes longer waits for something that never happens.
const MOST_STEPS: u32 = 20_000;

/// What a device has read of a session last.
#[derive(Default)]
pub(super) struct Read {
    pub(super) opened: BTreeSet<i64>,
}

impl World {
    pub(super) fn end(&mut self) {
        self.note("the faults are over".to_owned());
        self.set_weather(|weather| (weather.faults, weather.is_down) = (0, false));
        for device in self.devices.iter_mut().filter(|device| !device.is_lost) {
            device.is_on = true;
        }
        self.settle();
        self.tidy_up();
        self.settle();
        self.check_members();
        self.mend_everywhere();
        self.settle();
        self.check_paper();
        self.share_everything();
        self.read_everything();
        self.check_messages();
    }

    /// All devices run until none has anything to do, and each has looked at the list.
    fn settle(&mut self) {
        let begun = self.clock.now().monotonic;
        for _ in 0..MOST_STEPS {
            if self.violation.is_some() {
                return;
            }
            let is_quiet = (0..self.devices.len()).all(|number| !self.is_busy(number));
            if is_quiet && self.clock.now().monotonic.since(begun) >= IN_TIME {
                return;
            }
            // After no device has anything to do, all send something. A removed device asks the
            // server each time it sends, so two of them that always send would never both be idle.
            if is_quiet {
                self.devices.iter_mut().for_each(|device| device.is_active = true);
            }
            self.step();
        }
        self.fail("liveness", "a device does not come to an end".to_owned());
    }

    /// People repeat what was interrupted.
    fn tidy_up(&mut self) {
        if self.truth().is_none() {
            self.init(0);
            self.settle();
        }
        // A device that was put on the list and was interrupted continues.
        for number in self.listed() {
            if !self.is_listed_here(number) {
                self.init(number);
            }
        }
        self.settle();
        let inside = self.listed();
        if inside.is_empty() || inside.iter().all(|number| !self.is_listed_here(*number)) {
            // All devices are lost, or the one that began the epoch.
            let outside = self.unlisted();
            let number = match outside.first() {
                Some(number) => *number,
                None => {
                    self.new_device();
                    self.devices.len() - 1
                }
            };
            self.recover(number, &inside);
        }
    }

    fn is_listed_here(&self, number: usize) -> bool {
        let Some(device) = self.devices.get(number) else { return false };
        let state = match device.only_reads {
            // It knows what its person's commands have stored, once it needs that.
            true => device.machine.stored_list(Arc::clone(&device.process.line)),
            false => Some(device.process.list.state()),
        };
        matches!(state, Some(DeviceListState::Listed { .. }))
    }

    fn check_members(&mut self) {
        let Some(list) = self.truth() else {
            return self.fail("liveness", "there is no list".to_owned());
        };
        let expected =
            DeviceListState::Listed { epoch: list.epoch().number(), devices: list.active_devices().count() };
        let inside = self.listed();
        if inside.is_empty() {
            self.fail("liveness", "no device is on the list".to_owned());
        }
        for number in inside {
            let Some(device) = self.devices.get(number).filter(|device| !device.only_reads) else { continue };
            let state = device.process.list.state();
            if state != expected {
                self.fail("liveness", format!("d{number} is {state:?} in the end, expected {expected:?}"));
            }
        }
    }

    fn share_everything(&mut self) {
        for session in 0..self.sessions.len() {
            self.distribute(session);
        }
        self.settle();
        let inside = self.listed();
        for from in inside.clone() {
            for to in inside.iter().filter(|to| **to != from) {
                let Some(id) = self.devices.get(*to).map(|device| device.machine.id.clone()) else {
                    continue;
                };
                self.command(from, |process| process.share(id));
            }
        }
        self.settle();
    }

    fn read_everything(&mut self) {
        for number in self.listed() {
            self.send(number);
        }
        self.settle();
        self.reads.clear();
        for device in 0..self.devices.len() {
            for session in 0..self.sessions.len() {
                self.read(device, session);
            }
        }
        self.settle();
    }

    /// Every device on the list reads everything, and a removed device nothing that was sealed
    /// later.
    fn check_messages(&mut self) {
        let Some(list) = self.truth().filter(|_| self.violation.is_none()) else { return };
        let inside = self.listed();
        for number in 0..self.sessions.len() {
            let rows = self.rows(number);
            let is_known = inside
                .iter()
                .any(|device| self.has_opened(*device, number).is_some_and(|read| !read.is_empty()));
            let Some((owner, writer)) =
                self.sessions.get(number).map(|session| (session.owner, session.writer))
            else {
                continue;
            };
            if inside.contains(&writer) && self.waits(writer) {
                self.fail("liveness", format!("d{writer} does not send all messages of s{number}"));
            }
            for device in inside.iter().filter(|_| is_known || inside.contains(&owner)) {
                // Its person has to pair it again, because that ended before it was stored here.
                let is_paired = self.devices.get(*device).is_some_and(|device| {
                    let state = device.process.list.state();
                    !device.only_reads || matches!(state, DeviceListState::Listed { .. })
                });
                if !is_paired {
                    continue;
                }
                for (how, opened) in self.ways(*device, number) {
                    let missing: Vec<i64> =
                        rows.keys().filter(|place| !opened.contains(place)).copied().collect();
                    // The secret of an epoch is lost with the device that began it.
                    if !missing.is_empty() && inside.contains(&writer) {
                        let what = format!("d{device} does not get {missing:?} of s{number} {how}");
                        self.fail("readable", what);
                    }
                }
            }
            for (device, since) in self.removed(&list) {
                for (how, opened) in self.ways(device, number) {
                    let later = rows.iter().find(|(place, epoch)| **epoch >= since && opened.contains(place));
                    if let Some((place, epoch)) = later {
                        let what = format!(
                            "d{device} was removed in epoch {since}, and gets s{number}/{place} of epoch {epoch} {how}"
                        );
                        self.fail("removed", what);
                    }
                }
            }
        }
    }

    /// The messages of a session that a device has: those that it asked for, and those that it was
    /// told of.
    fn ways(&self, device: usize, session: usize) -> Vec<(&'static str, BTreeSet<i64>)> {
        let read = ("by reading", self.has_opened(device, session).unwrap_or_default());
        let follower = self.devices.get(device).and_then(|device| device.follower.as_ref());
        let followed = follower.map(|follower| ("by following", follower.read_of(session)));
        [Some(read), followed].into_iter().flatten().collect()
    }

    fn has_opened(&self, device: usize, session: usize) -> Option<BTreeSet<i64>> {
        self.reads.get(&(device, session)).map(|read| read.opened.clone())
    }

    fn waits(&self, number: usize) -> bool {
        self.devices.get(number).is_some_and(|device| !device.machine.disk.kept().outbox.is_empty())
    }

    /// The devices that were removed, each with the first epoch of which it must not know.
    fn removed(&self, list: &levi_devices::list::DeviceList) -> Vec<(usize, u32)> {
        let epoch_at = |slot| list.up_to(slot).map(|list| list.epoch().number());
        let all = self.devices.iter().enumerate();
        all.filter_map(|(number, device)| {
            let removed = list.member(&device.machine.id)?.removed.as_ref()?;
            // A device that removes itself draws the secret of the next epoch, and can only forget
            // it.
            let is_by_itself = removed.by == device.machine.id;
            Some((number, epoch_at(removed.slot)? + u32::from(is_by_itself)))
        })
        .collect()
    }

    /// The epoch of each message of a session on the server.
    fn rows(&self, number: usize) -> BTreeMap<i64, u32> {
        let Some(session) = self.sessions.get(number) else { return BTreeMap::new() };
        let select = MessagesOf(&session.id).page(None, 10_000);
        let rows = at_once(self.project.select(&AccessToken::from("token"), select)).and_then(Result::ok);
        let rows: Vec<MessageRow> = rows.and_then(|rows| decode_rows(&rows).ok()).unwrap_or_default();
        let epoch_of = |row: &MessageRow| message_v2::nonce_from_wire(&row.content_nonce).ok();
        rows.iter()
            .map(|row| (row.sequence_number, epoch_of(row).map_or(0, |nonce| nonce.epoch.number())))
            .collect()
    }
}
