//! Checks what a commit may change, given what really happened.

use std::collections::HashSet;

use levi_outbox::{
    Change, Due, Encryption, Enqueued, LaneId, LaneKey, NewRow, Reason, RowId, RowKey, Totals,
};
use levi_types::Wall;

use super::control::{messages_of, name_of};
use super::lone_failure::FailedAlone;
use super::{Arrival, Model, Parked, Row};
use crate::content::user_name;

impl Model {
    /// A commit went through.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &[NewRow], answers: &[Enqueued]) {
        let blocked = self.blocked_lanes();
        for change in changes {
            self.note_user(change);
            if !self.apply_to_control(change, &blocked) {
                self.apply(change, &blocked);
            }
        }
        for (row, answer) in rows.iter().zip(answers) {
            self.stored(row, answer);
        }
    }

    /// The outbox's own counts against ours.
    pub(crate) fn check_totals(&mut self, totals: &Totals) {
        let ours = (self.pending_rows() as u64, self.pending_bytes(), self.parked_rows() as u64);
        let its = (totals.pending_rows, totals.pending_bytes, totals.parked_rows);
        self.expect(ours == its, "disk", || {
            format!("the outbox counts (rows, bytes, parked) = {its:?}, it should be {ours:?}")
        });
        let parked = self.control.values().filter(|row| row.parked).count() as u64;
        let ours = (self.control.len() as u64 - parked, parked);
        let its = (totals.control_rows, totals.parked_control_rows);
        self.expect(ours == its, "disk", || {
            format!("the outbox counts (pending, parked) control rows = {its:?}, it should be {ours:?}")
        });
    }

    /// Of the lanes that are due, the one that has waited longest comes first, so that none
    /// starves.
    pub(crate) fn lanes_due(&mut self, due: &Due) {
        self.check_not_blocked(due);
        let mut last = None;
        for lane in &due.lanes {
            self.lanes.insert(lane.lane, lane.key.clone());
            let Some(number) = messages_of(&lane.key) else {
                self.note_control_lane(lane);
                continue;
            };
            let due_at = self.sessions.get(number).and_then(|session| session.due_at);
            // A lane whose time lies beyond the horizon is due because the clock jumped, and comes
            // last.
            let Some(due_at) = due_at.filter(|due_at| *due_at <= self.now.wall) else { continue };
            if last.is_some_and(|last| last > due_at) {
                self.fail("fairness", format!("s{number} was due before the lanes returned before it"));
            }
            last = Some(due_at);
        }
    }

    fn apply(&mut self, change: &Change, blocked: &HashSet<LaneKey>) {
        match change {
            Change::Acknowledge { lane, rows, at } => self.acknowledged(*lane, rows, *at),
            Change::Defer { lane, due_at, attempts, reason } => {
                if let Some(key) = self.lanes.get(lane).cloned() {
                    self.check_not_counted(&key, blocked, reason);
                }
                self.deferred(*lane, *due_at, *attempts, reason);
            }
            Change::Park { lane, row, reason, at } => {
                if let Some(key) = self.lanes.get(lane).cloned() {
                    self.check_not_counted(&key, blocked, reason);
                }
                self.parked_row(*lane, *row, reason, *at);
            }
            Change::Reseal { row, payload } => self.resealed(*row, payload),
            Change::Pause { until } => self.paused_until = Some(*until),
            Change::RetryNow { at } => {
                self.note(|| "disk: every wait is over".to_owned());
                self.void_delays();
                let user = self.user.clone();
                for (session, owner) in self.sessions.iter_mut().zip(&self.users) {
                    if user.as_ref().is_some_and(|user| *user != user_name(*owner)) {
                        continue;
                    }
                    session.due_at = session.due_at.map(|due_at| due_at.min(*at));
                }
            }
            Change::RetryLane { lane, at } => {
                self.void_control_delay(lane);
                if let Some(session) = messages_of(lane).and_then(|number| self.sessions.get_mut(number)) {
                    session.not_before = None;
                    session.due_at = session.due_at.map(|due_at| due_at.min(*at));
                }
            }
            Change::Unpark { row, at } => self.unparked(*row, *at),
            Change::Discard { row } => self.discarded(*row),
            Change::Ensure(_)
            | Change::SignedIn { .. }
            | Change::NoteSynced { .. }
            | Change::NoteLoneFailure(_)
            | Change::NoteParkedOnProbes { .. } => {}
        }
    }

    fn stored(&mut self, new: &NewRow, answer: &Enqueued) {
        if matches!(answer, Enqueued::Stored { .. }) {
            self.check_recorded(new);
        }
        let Some(number) = messages_of(&new.lane) else {
            if let Enqueued::Stored { key, .. } = answer {
                self.stored_control(new, Some(*key));
                self.note_restored(new);
            }
            return;
        };
        let content = match self.keys.open_stored(new) {
            Ok(content) => content,
            Err(error) => {
                return self.fail("sealed", format!("a row was written that nobody can open: {error}"));
            }
        };
        self.note(|| {
            format!(
                "disk: s{number}/{} v{} {:?}: {answer:?}",
                new.sequence_number, content.version, new.encryption
            )
        });
        if *answer == Enqueued::AlreadySynced {
            let place = new.sequence_number;
            let shown = self.sessions.get(number).and_then(|session| session.shown_once(place));
            return self.expect(shown == Some(content), "receipts", || {
                format!(
                    "s{number}/{place} v{} counts as synced, the server showed {shown:?}",
                    content.version
                )
            });
        }
        let Enqueued::Stored { key, replaced } = answer else { return };
        if self.trace.is_some() {
            let stored = self.now.monotonic.since_start();
            self.arrivals.entry((number, new.sequence_number)).or_insert(Arrival { stored, shown: None });
        }
        let Some(session) = self.sessions.get_mut(number) else { return };
        session.note_overwrite(new, *key, *replaced);
        session.pending.insert(new.sequence_number, key.id);
        session.due_at.get_or_insert(new.enqueued_at);
        let came_back = session.parked.remove(&new.sequence_number).is_some();
        session.discarded.remove(&new.sequence_number);
        session.stored.insert((new.sequence_number, content.version));
        let latest = session.latest.entry(new.sequence_number).or_default();
        *latest = content.version.max(*latest);
        let key_here = session.key_here;
        // A new payload of a waiting row waits as long as the old one; one of a parked row is
        // stored afresh.
        let old = self.rows.get(&key.id).filter(|_| !came_back);
        let fresh = old.map_or(self.turn, |row| row.stored_in_turn);
        self.rows.insert(
            key.id,
            Row {
                session: number,
                sequence_number: new.sequence_number,
                version: key.version,
                content,
                bytes: new.payload.len() as u64,
                stored_in_turn: fresh,
                refused_alone: None,
                failed_alone: FailedAlone::default(),
            },
        );
        // A row that a failing disk held up was sealed when it was enqueued.
        let needless = key_here && new.encryption == Encryption::DatabaseKey && !self.delays_void;
        let name = || format!("{}/{}", new.lane, new.sequence_number);
        self.expect(!needless, "sealing", || format!("{} waits for a key that is here", name()));
    }

    fn acknowledged(&mut self, lane: LaneId, keys: &[RowKey], at: Wall) {
        for key in keys {
            let Some(row) = self.rows.get(&key.id).cloned() else { continue };
            let Some(session) = self.sessions.get_mut(row.session) else { continue };
            session.note_written(row.sequence_number, key.version);
            let shown = session.shown_once(row.sequence_number);
            // The rows that another device deleted from the server are no longer expected there.
            let was_deleted = session.is_deleted && !session.shown.contains_key(&row.sequence_number);
            let is_current = key.version == row.version;
            let pending = session.pending.get(&row.sequence_number) == Some(&key.id);
            if is_current && pending {
                session.pending.remove(&row.sequence_number);
                session.was_sent = true;
                if was_deleted {
                    session.latest.remove(&row.sequence_number);
                }
                let notified = session.reported_sent.contains(&row.sequence_number);
                let name = self.name(key.id);
                self.expect(shown == Some(row.content), "acknowledgement", || {
                    format!("{name} leaves the outbox, but the server shows {shown:?}")
                });
                self.note(|| format!("disk: {name} is acknowledged (reported: {notified})"));
            }
        }
        self.settled(lane, at);
    }

    /// After an answer the lane's attempts are forgotten.
    fn settled(&mut self, lane: LaneId, at: Wall) {
        if let Some(key) = self.lanes.get(&lane).cloned() {
            self.forget_attempts(&key);
        }
        let Some(session) = self.session_of(lane) else { return };
        session.parent_sent = false;
        session.attempts = 0;
        session.not_before = None;
        session.modified_externally = false;
        session.refusals = 0;
        session.due_at = (!session.pending.is_empty()).then_some(at);
    }

    fn session_of(&mut self, lane: LaneId) -> Option<&mut super::Session> {
        let number = messages_of(self.lanes.get(&lane)?)?;
        self.sessions.get_mut(number)
    }

    fn deferred(&mut self, lane: LaneId, due_at: Wall, attempts: u32, reason: &Reason) {
        let Some(number) = self.lanes.get(&lane).and_then(messages_of) else {
            return self.fail("attempts", format!("lane {} waits, which was never due", lane.0));
        };
        self.check_parent_was_sent_first(number, reason);
        let delay = self.delay_until(due_at);
        self.note(|| format!("disk: s{number} waits {delay:?}, attempt {attempts}, {}", reason.code));
        let Some(session) = self.sessions.get_mut(number) else { return };
        if session.pending.is_empty() {
            return;
        }
        let before = session.attempts;
        let modified_externally = std::mem::take(&mut session.modified_externally);
        let keyless = reason.code == "missing_secret";
        let caused = if keyless { !session.key_here || self.delays_void } else { session.causes > 0 };
        session.causes = if keyless { session.causes } else { session.causes.saturating_sub(1) };
        session.attempts = attempts;
        session.due_at = Some(due_at);
        // A time that was chosen before the clock jumped, and written after it, cannot be checked.
        let sound = delay <= self.config.longest_delay() + std::time::Duration::from_millis(1);
        session.not_before = sound.then_some(self.now.monotonic.after(delay));
        self.expect(modified_externally || attempts == before + 1, "attempts", || {
            format!("s{number} had {before} attempts and now has {attempts}")
        });
        self.expect(caused, "attempts", || {
            format!("s{number} is charged an attempt for {} without a failure of its own", reason.code)
        });
        // Commits that a failing disk held up contain due times that were chosen earlier.
        if !self.delays_void {
            self.check_delay(&format!("s{number}"), attempts, due_at);
        }
    }

    /// A child is charged for a missing parent only after the parent was sent, if the daemon's
    /// store knows it, even if it could not say so.
    fn check_parent_was_sent_first(&mut self, number: usize, reason: &Reason) {
        let Some(session) = self.sessions.get(number) else { return };
        let could_send = session.known_to_daemon && !self.delays_void;
        let refused = matches!(reason.code.as_str(), "23503" | "42501");
        let unfair = refused && could_send && !session.parent_sent && !session.modified_externally;
        self.expect(!unfair, "parent", || {
            format!("{} is charged for {} before its parent was sent", name_of(number), reason.code)
        });
    }

    fn parked_row(&mut self, lane: LaneId, key: RowKey, reason: &Reason, at: Wall) {
        let name = self.name(key.id);
        let Some(row) = self.rows.get(&key.id).cloned() else { return };
        if row.version != key.version {
            // It was replaced meanwhile, and the new row begins with no attempts, whatever the disk
            // has.
            if let Some(session) = self.sessions.get_mut(row.session) {
                session.modified_externally = true;
            }
            return;
        }
        self.check_not_replacing(&row, reason);
        let verdict = row.refused_alone.clone();
        let Some(session) = self.sessions.get_mut(row.session) else { return };
        if session.pending.get(&row.sequence_number) != Some(&key.id) {
            // It was discarded meanwhile. Another row may have its sequence number by now, and
            // begins with no attempts.
            session.modified_externally = true;
            return;
        }
        session.pending.remove(&row.sequence_number);
        let (refusals, was_sent) = (session.refusals, session.was_sent);
        let refused_while_missing = if was_sent { session.refused_while_missing } else { 0 };
        let most = self.config.max_attempts_rejected;
        let is_lone = row.failed_alone.times >= most;
        let deserved = is_lone || matches!(&verdict, Some((code, true)) if *code == reason.code);
        let parked = Parked { row: key.id, reason: reason.clone(), deserved };
        session.parked.insert(row.sequence_number, parked);
        session.ever_parked.insert(row.sequence_number);
        self.note(|| format!("disk: {name} is parked: {} (deserved: {deserved})", reason.code));
        self.expect(is_lone || verdict.is_some_and(|(code, _)| code == reason.code), "parking", || {
            format!("{name} is parked for {} without having been refused for it alone", reason.code)
        });
        self.expect(reason.code != "timeout" || is_lone, "parking", || {
            format!("{name} is parked after it failed alone {} times, {most} are due", row.failed_alone.times)
        });
        let may_miss_parent = matches!(reason.code.as_str(), "42501" | "23503");
        self.expect(!may_miss_parent || refusals >= most, "parking", || {
            format!("{name} is parked after {refusals} refusals, {most} are due to it")
        });
        let unfair = reason.code == "42501" && refused_while_missing >= 2;
        self.expect(!unfair, "parent", || {
            format!("{name} is parked for {} though its session was deleted elsewhere", reason.code)
        });
        self.settled(lane, at);
    }

    fn resealed(&mut self, key: RowKey, payload: &[u8]) {
        let opened = self.keys.open_fragment(payload);
        let name = self.name(key.id);
        let Some(row) = self.rows.get_mut(&key.id).filter(|row| row.version == key.version) else { return };
        row.bytes = payload.len() as u64;
        let same = opened == Ok((row.session, row.sequence_number, row.content));
        self.note(|| format!("disk: {name} is sealed"));
        self.expect(same, "sealed", || format!("{name} was sealed as something else: {opened:?}"));
    }

    fn unparked(&mut self, id: RowId, at: Wall) {
        let Some(row) = self.rows.get(&id) else { return };
        let Some(session) = self.sessions.get_mut(row.session) else { return };
        // Another row may have its sequence number since it was discarded.
        if session.parked.get(&row.sequence_number).is_some_and(|parked| parked.row == id) {
            session.parked.remove(&row.sequence_number);
            session.pending.insert(row.sequence_number, id);
            session.due_at = Some(session.due_at.map_or(at, |due_at| due_at.min(at)));
            session.attempts = 0;
            session.not_before = None;
            // Levi may continue the count of the lane's other rows.
            session.modified_externally = true;
            let (number, name) = (row.session, self.name(id));
            self.session_may_be_early(number);
            self.note(|| format!("disk: {name} is unparked"));
        }
    }

    fn discarded(&mut self, id: RowId) {
        let Some(row) = self.rows.get(&id) else { return };
        let Some(session) = self.sessions.get_mut(row.session) else { return };
        let first = session.pending.first_key_value().is_some_and(|(place, _)| *place == row.sequence_number);
        if session.pending.get(&row.sequence_number) == Some(&id) {
            session.pending.remove(&row.sequence_number);
            session.discarded.insert(row.sequence_number);
            session.ever_discarded.insert(row.sequence_number);
            session.modified_externally = true;
            if session.pending.is_empty() {
                session.not_before = None;
                session.due_at = None;
            }
            if first {
                session.attempts = 0;
            }
        }
        if session.parked.get(&row.sequence_number).is_some_and(|parked| parked.row == id) {
            session.parked.remove(&row.sequence_number);
        }
        let name = self.name(id);
        self.note(|| format!("disk: {name} is discarded"));
    }
}
