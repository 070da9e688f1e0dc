//! Checks what a request may contain, given the disk when the request is built.

use std::collections::{BTreeMap, BTreeSet};

use levi_outbox::{LaneKey, RowKey};

use super::Model;
use super::control::name_of;
use super::early::RowVersion;
use crate::content::Content;

impl Model {
    /// The payloads of a request were read. For each of its sessions, a request contains the first
    /// of the waiting rows without a gap. Otherwise a later message would overtake an earlier one.
    pub(crate) fn payloads_read(&mut self, keys: &[RowKey]) {
        let mut places: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
        let (mut unchanged, mut outdated) = (BTreeSet::new(), false);
        for key in keys {
            // A control row is checked when it is sent.
            let Some(row) = self.rows.get(&key.id) else { return };
            let pending = self
                .sessions
                .get(row.session)
                .is_some_and(|session| session.pending.get(&row.sequence_number) == Some(&key.id));
            if row.version != key.version || !pending {
                outdated = true;
                continue;
            }
            unchanged.insert((row.session, row.sequence_number));
            if !places.entry(row.session).or_default().insert(row.sequence_number) {
                let name = self.name(key.id);
                return self.fail("once", format!("{name} is twice in one request"));
            }
        }
        if outdated {
            return self.outdated_requests.push(unchanged);
        }
        for (session, places) in places {
            self.check_prefix(session, &places);
            self.check_wait(session);
            self.check_parent(&LaneKey::Messages(name_of(session)));
        }
    }

    /// A request is sent. If one of its rows changed after it was planned, it must not be sent,
    /// because the rows after that one would overtake it.
    pub(crate) fn request_sent(&mut self, rows: &[(usize, i64, Content)]) {
        let sent: BTreeSet<_> = rows.iter().map(|(session, number, _)| (*session, *number)).collect();
        if self.outdated_requests.contains(&sent) {
            self.fail("order", format!("{sent:?} is sent without the rows that changed"));
        }
        // With others it was sent to find the one at fault.
        if let [(session, sequence_number, Content { version, .. })] = *rows {
            let row = RowVersion { sequence_number, version };
            self.check_attempt(&LaneKey::Messages(name_of(session)), row);
        }
    }

    fn check_prefix(&mut self, number: usize, places: &BTreeSet<i64>) {
        let Some(last) = places.last() else { return };
        let Some(session) = self.sessions.get(number) else { return };
        let overtaken = session.pending.range(..=last).find(|(place, id)| {
            let Some(row) = self.rows.get(id) else { return false };
            // Rows that are stored in this turn came too late. Rows that the server has, or refused
            // alone, leave the disk with the turn's commit.
            let late = row.stored_in_turn == self.turn;
            // A newer text of another process may come later: the server shows the older one.
            let edited = session.edited_externally.contains(place) && session.shown_once(**place).is_some();
            let settled =
                edited || session.shown_once(**place) == Some(row.content) || row.refused_alone.is_some();
            !places.contains(place) && !late && !settled
        });
        if let Some((place, _)) = overtaken {
            let what = format!("s{number}/{place} waits on disk while s{number}/{last} is sent");
            self.fail("order", what);
        }
    }

    /// Nothing is sent before the schedule allows it.
    fn check_wait(&mut self, number: usize) {
        let now = self.now.monotonic;
        let Some(session) = self.sessions.get(number) else { return };
        if let Some(not_before) = session.not_before
            && not_before.since(now) > std::time::Duration::from_millis(1)
        {
            let what = format!(
                "s{number} is sent {:?} before its wait is over (attempt {})",
                not_before.since(now),
                session.attempts
            );
            self.fail("backoff", what);
        }
    }
}
