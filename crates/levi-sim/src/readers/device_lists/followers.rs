//! Devices that follow the change feed. Whatever was sealed for the list comes to each of them, once,
//! also to a device that is paired later, of a device that is paired later, and with a key that
//! comes later. A process that ends between a page and its cursor skips nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use levi_core::{Arrival, Change, ChangeCursor, ChangePage};
use levi_types::Monotonic;

use super::process::Process;
use super::{Device, World};
use crate::random::Random;
use crate::readers::following::Process as Following;

/// A row's place: session and number. No row of this simulation changes.
type Place = (usize, i64);

/// What follows on a device, and what it has got.
#[derive(Default)]
pub(super) struct Follower {
    /// `None` before it starts.
    process: Option<Following>,
    /// The cursor as text.
    stored: Option<String>,
    delivered: Delivered,
}

/// The changes that were delivered, up to the stored cursor.
#[derive(Clone, Default)]
struct Delivered {
    read: BTreeSet<Place>,
    unreadable: BTreeSet<Place>,
    /// The highest number of each session that could be read.
    highest: BTreeMap<usize, i64>,
}

impl Follower {
    fn cursor(&self) -> Option<ChangeCursor> {
        self.stored.as_ref().and_then(|text| text.parse().ok())
    }

    /// The messages of a session that came readable.
    pub(super) fn read_of(&self, session: usize) -> BTreeSet<i64> {
        self.delivered.read.iter().filter(|(of, _)| *of == session).map(|(_, place)| *place).collect()
    }
}

impl Device {
    /// Whether its follower has something to do now.
    pub(super) fn follows_at(&self, now: Monotonic) -> bool {
        let process = self.follower.as_ref().and_then(|follower| follower.process.as_ref());
        process.is_some_and(|process| process.due().is_none_or(|due| due <= now))
    }
}

impl World {
    /// If the device follows, it begins at its stored cursor.
    pub(super) fn follow(&mut self, number: usize) {
        self.started += 1;
        let random = Random::new(self.seed, 1_000 + self.started);
        let limit = u32::try_from(self.random.between(1, 6)).unwrap_or(1);
        let Some(Device { follower: Some(follower), machine, process, only_reads, .. }) =
            self.devices.get_mut(number)
        else {
            return;
        };
        let cursor = follower.cursor();
        follower.process = Some(match *only_reads {
            // As `levi pull --follow`: what the commands beside it learn is on the disk, and not in its memory.
            true => Process::on(Arc::clone(&process.line), machine, &random).follow(machine, cursor, limit),
            false => process.follow(machine, cursor, limit),
        });
    }

    pub(super) fn run_follower(&mut self, number: usize) {
        let Some(device) = self.devices.get_mut(number) else { return };
        let follower = device.follower.as_mut().and_then(|follower| follower.process.as_mut());
        let came = follower.and_then(Following::run);
        if device.process.line.is_dead() {
            return self.restart(number);
        }
        match came {
            Some(Ok(page)) => self.deliver(number, &page),
            Some(Err(error)) => self.fail("follows", format!("d{number}: {error}")),
            None => {}
        }
    }

    fn deliver(&mut self, number: usize, page: &ChangePage) {
        let Some(mut delivered) = self.follower(number).map(|follower| follower.delivered.clone()) else {
            return;
        };
        for change in &page.changes {
            self.take(number, &mut delivered, change);
        }
        let outcome = self.random.below(10);
        match (outcome, self.follower(number)) {
            (0, _) => {
                self.note(format!("the follower of d{number} ends before it stored its cursor"));
                self.follow(number);
            }
            (1, Some(Follower { process: Some(process), stored, .. })) => {
                process.follow_again(stored.as_ref().and_then(|text| text.parse().ok()));
                self.note(format!("the follower of d{number} could not keep a page"));
            }
            (_, Some(follower)) => {
                (follower.stored, follower.delivered) = (Some(page.cursor.to_string()), delivered);
            }
            (_, None) => {}
        }
    }

    /// Compares a change with what was written, and with what this device has.
    fn take(&mut self, number: usize, delivered: &mut Delivered, change: &Change) {
        let Some(session) = self.sessions.iter().position(|session| session.id == change.session_id) else {
            return self.fail("once", format!("d{number}: a change of an unknown session"));
        };
        let place = (session, change.sequence_number);
        let highest = delivered.highest.get(&session).copied();
        let is_above = highest.is_none_or(|highest| change.sequence_number > highest);
        let was_unreadable = delivered.unreadable.contains(&place);
        let is_expected = match (change.arrival, &change.content) {
            (Arrival::Unlocked, Ok(_)) => was_unreadable,
            (Arrival::Unlocked, Err(_)) => false,
            (Arrival::New, _) => is_above && !was_unreadable,
            (Arrival::Edited, _) => !is_above && !was_unreadable,
        };
        if !is_expected {
            self.fail("arrival", format!("d{number}: {change:?}, above all: {is_above}"));
        }
        let is_new = match &change.content {
            Ok(content) => {
                if *content != format!("s{session}/{}", change.sequence_number) {
                    self.fail("readable", format!("d{number} is told {content:?} at {place:?}"));
                }
                let highest =
                    highest.map_or(change.sequence_number, |highest| highest.max(change.sequence_number));
                delivered.highest.insert(session, highest);
                delivered.read.insert(place)
            }
            Err(error) => {
                self.check_row(number, session, error);
                delivered.unreadable.insert(place)
            }
        };
        if !is_new {
            self.fail("once", format!("d{number}: {place:?} is delivered twice"));
        }
    }

    fn follower(&mut self, number: usize) -> Option<&mut Follower> {
        self.devices.get_mut(number)?.follower.as_mut()
    }
}
