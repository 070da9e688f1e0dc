//! Records the changes that a follower delivers, and checks them.

use std::collections::BTreeSet;

use levi_core::{Arrival, Change, ChangePage};

use super::{Delivered, Place, World};

impl World {
    pub(super) fn run_device(&mut self, number: usize) {
        while let Some(came) = self.devices.get_mut(number).and_then(|device| device.process.run()) {
            let page = match came {
                Ok(page) => page,
                Err(error) => return self.fail("follows", format!("device {number}: {error}")),
            };
            let mut delivered = self.devices[number].delivered.clone();
            for change in &page.changes {
                self.take(number, &mut delivered, change);
            }
            match self.random.below(10) {
                0 => {
                    self.note(format!("device {number} ends before it stored its cursor"));
                    self.start(number);
                }
                1 => {
                    self.note(format!("device {number} could not keep a page"));
                    let cursor = self.devices[number].cursor();
                    self.devices[number].process.follow_again(cursor);
                }
                _ => self.store(number, delivered, &page),
            }
            if self.violation.is_some() {
                return;
            }
        }
    }

    pub(super) fn store(&mut self, number: usize, delivered: Delivered, page: &ChangePage) {
        if let Some(device) = self.devices.get_mut(number) {
            device.stored = Some(page.cursor.to_string());
            device.delivered = delivered;
        }
    }

    /// Compares a change with the written texts, and with the changes that this device has.
    pub(super) fn take(&mut self, number: usize, delivered: &mut Delivered, change: &Change) {
        let Some(session) = self.sessions.iter().position(|session| session.id == change.session_id) else {
            return self.fail("once", format!("device {number}: a change of an unknown session"));
        };
        let place = (session, change.sequence_number);
        let highest = delivered.highest.get(&session).copied();
        let is_above = highest.is_none_or(|highest| change.sequence_number > highest);
        let unreadable = delivered.unreadable.get(&place).copied().unwrap_or(0);
        let expected = match (&change.arrival, &change.content) {
            (Arrival::Unlocked, Ok(_)) => unreadable > 0,
            (Arrival::Unlocked, Err(_)) => false,
            (Arrival::New, _) => is_above,
            (Arrival::Edited, _) => !is_above,
        };
        if !expected {
            self.fail("arrival", format!("device {number}: {change:?}, above all: {is_above}"));
        }
        let Ok(text) = &change.content else {
            *delivered.unreadable.entry(place).or_default() += 1;
            return;
        };
        let texts = self.sessions[session].messages.get(&change.sequence_number);
        if texts.is_none_or(|texts| !texts.contains(text)) {
            self.fail("once", format!("device {number}: {text:?} was never written at {place:?}"));
        }
        let known = delivered.texts.entry(place).or_default();
        if known.contains(text) {
            self.fail("once", format!("device {number}: {text:?} is delivered twice"));
        }
        known.push(text.clone());
        delivered.highest.insert(
            session,
            highest.map_or(change.sequence_number, |highest| highest.max(change.sequence_number)),
        );
    }

    pub(super) fn check_arrived(&mut self, number: usize) {
        let delivered = self.devices[number].delivered.clone();
        let mut missing = BTreeSet::new();
        for (of, session) in self.sessions.iter().enumerate().filter(|(_, session)| !session.is_deleted) {
            for (place, texts) in &session.messages {
                let Some(text) = texts.last() else { continue };
                let known = delivered.texts.get(&(of, *place));
                let is_readable = session.is_shared && !text.is_empty();
                let has_come = known.is_some_and(|known| known.last() == Some(text));
                let is_named = delivered.unreadable.contains_key(&(of, *place));
                if (is_readable && !has_come) || (!is_readable && !is_named) {
                    missing.insert(format!("s{of}/{place}"));
                }
            }
        }
        let most = |place: &Place| self.sessions[place.0].messages.get(&place.1).map_or(0, Vec::len);
        let again =
            delivered.unreadable.iter().find(|(place, times)| **times > most(place)).map(|(place, _)| *place);
        if !missing.is_empty() {
            self.fail("arrives", format!("device {number} was not told of {missing:?}"));
        }
        if let Some(place) = again {
            self.fail("once", format!("device {number}: {place:?} is named more often than it changed"));
        }
    }
}
