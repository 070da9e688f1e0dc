//! What a commit may do, given what really happened.

use levi_outbox::{Change, Due, Enqueued, LaneId, NewRow, Protection, Reason, RowId, RowKey, Totals};
use levi_types::Wall;

use super::{Arrival, Parked, Row, Truth};
use crate::content::session_number;

impl Truth {
    /// A commit went through.
    pub(crate) fn committed(&mut self, changes: &[Change], rows: &[NewRow], answers: &[Enqueued]) {
        for change in changes {
            self.apply(change);
        }
        for (row, answer) in rows.iter().zip(answers) {
            self.stored(row, answer);
        }
    }

    /// The outbox's own counts against ours.
    pub(crate) fn check_totals(&mut self, totals: &Totals) {
        let ours = (self.pending_rows() as u64, self.pending_bytes(), self.parked_rows() as u64);
        let its = (totals.pending_rows, totals.pending_bytes, totals.parked_rows);
        self.expect(ours == its, "G1 disk", || {
            format!("the outbox counts (rows, bytes, parked) = {its:?}, it should be {ours:?}")
        });
        let tasks = self.tasks.len() as u64;
        self.expect(totals.tasks == tasks, "G1 disk", || {
            format!("the outbox counts {} tasks, it should be {tasks}", totals.tasks)
        });
    }

    /// Lanes are handed out longest waiting first, so that none starves.
    pub(crate) fn lanes_handed_out(&mut self, due: &Due) {
        let mut last = None;
        for lane in &due.lanes {
            let number = session_number(&lane.session_id);
            self.lanes.insert(lane.lane.0, number);
            let due_at = self.sessions.get(number).and_then(|session| session.due_at);
            // One whose time lies beyond the horizon is due because the clock jumped, and comes last.
            let Some(due_at) = due_at.filter(|due_at| *due_at <= self.now.wall) else { continue };
            if last.is_some_and(|last| last > due_at) {
                self.fail("fairness", format!("s{number} was due before those handed out before it"));
            }
            last = Some(due_at);
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Acknowledge { lane, rows, at } => self.acknowledged(*lane, rows, *at),
            Change::Defer { lane, due_at, attempts, reason } => {
                self.deferred(*lane, *due_at, *attempts, reason);
            }
            Change::Park { lane, row, reason, at } => self.set_aside(*lane, *row, reason, *at),
            Change::Reseal { row, payload } => self.resealed(*row, payload),
            Change::RetryNow { at } => {
                self.note(|| "disk: every wait is over".to_owned());
                self.void_delays();
                for session in &mut self.sessions {
                    session.due_at = session.due_at.map(|due_at| due_at.min(*at));
                }
            }
            Change::RetrySession { session_id, at } => {
                if let Some(session) = self.sessions.get_mut(session_number(session_id)) {
                    session.not_before = None;
                    session.due_at = session.due_at.map(|due_at| due_at.min(*at));
                }
            }
            Change::Unpark { row, at } => self.put_back(*row, *at),
            Change::Discard { row } => self.discarded(*row),
            task => self.apply_task(task),
        }
    }

    fn stored(&mut self, new: &NewRow, answer: &Enqueued) {
        let number = session_number(&new.session_id);
        let content = match self.keys.open_stored(new) {
            Ok(content) => content,
            Err(error) => {
                return self.fail("G7 sealed", format!("a row was written that nobody can open: {error}"));
            }
        };
        self.note(|| {
            format!(
                "disk: s{number}/{} v{} {:?}: {answer:?}",
                new.sequence_number, content.version, new.protection
            )
        });
        let Enqueued::Stored { key, .. } = answer else { return };
        if self.trace.is_some() {
            let stored = self.now.monotonic.since_start();
            self.arrivals.entry((number, new.sequence_number)).or_insert(Arrival { stored, shown: None });
        }
        let Some(session) = self.sessions.get_mut(number) else { return };
        session.pending.insert(new.sequence_number, key.id);
        session.due_at.get_or_insert(new.enqueued_at);
        let came_back = session.parked.remove(&new.sequence_number).is_some();
        session.discarded.remove(&new.sequence_number);
        session.stored.insert((new.sequence_number, content.version));
        let latest = session.latest.entry(new.sequence_number).or_default();
        *latest = content.version.max(*latest);
        let key_here = session.key_here;
        // A new payload in the place of a waiting one waits as long; one in the place of a parked one comes anew.
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
            },
        );
        // A row that a failing disk held up was wrapped when it came.
        let needless = key_here && new.protection == Protection::AtRest && !self.delays_void;
        self.expect(!needless, "sealing", || format!("{} waits for a key that is here", self_name(new)));
    }

    fn acknowledged(&mut self, lane: LaneId, keys: &[RowKey], at: Wall) {
        for key in keys {
            let Some(row) = self.rows.get(&key.id).cloned() else { continue };
            let Some(session) = self.sessions.get_mut(row.session) else { continue };
            let shown = session.shown.get(&row.sequence_number).copied();
            let is_current = key.version == row.version;
            let pending = session.pending.get(&row.sequence_number) == Some(&key.id);
            if is_current && pending {
                session.pending.remove(&row.sequence_number);
                let told = session.told_sent.contains(&row.sequence_number);
                let name = self.name(key.id);
                self.expect(shown == Some(row.content), "acknowledgement", || {
                    format!("{name} leaves the outbox, but the server shows {shown:?}")
                });
                self.note(|| format!("disk: {name} is acknowledged (reported: {told})"));
            }
        }
        self.settled(lane, at);
    }

    /// After an answer the lane's attempts are forgotten.
    fn settled(&mut self, lane: LaneId, at: Wall) {
        let Some(session) = self.session_of(lane) else { return };
        session.attempts = 0;
        session.not_before = None;
        session.meddled = false;
        session.refusals = 0;
        session.due_at = (!session.pending.is_empty()).then_some(at);
    }

    fn session_of(&mut self, lane: LaneId) -> Option<&mut super::Session> {
        let number = *self.lanes.get(&lane.0)?;
        self.sessions.get_mut(number)
    }

    fn deferred(&mut self, lane: LaneId, due_at: Wall, attempts: u32, reason: &Reason) {
        let Some(number) = self.lanes.get(&lane.0).copied() else {
            return self.fail("attempts", format!("lane {} waits, which nobody asked for", lane.0));
        };
        let delay = self.delay_until(due_at);
        self.note(|| format!("disk: s{number} waits {delay:?}, attempt {attempts}, {}", reason.code));
        let Some(session) = self.sessions.get_mut(number) else { return };
        if session.pending.is_empty() {
            return;
        }
        let before = session.attempts;
        let meddled = std::mem::take(&mut session.meddled);
        let keyless = reason.code == "missing_secret";
        let caused = if keyless { !session.key_here || self.delays_void } else { session.causes > 0 };
        session.causes = if keyless { session.causes } else { session.causes.saturating_sub(1) };
        session.attempts = attempts;
        session.due_at = Some(due_at);
        // One that was chosen before the clock jumped, and written after, says nothing.
        let sound = delay <= self.config.longest_delay() + std::time::Duration::from_millis(1);
        session.not_before = sound.then_some(self.now.monotonic.after(delay));
        self.expect(meddled || attempts == before + 1, "attempts", || {
            format!("s{number} had {before} attempts and now has {attempts}")
        });
        self.expect(caused, "attempts", || {
            format!("s{number} is charged an attempt for {} without a failure of its own", reason.code)
        });
        // Commits that a failing disk held up carry due times that were chosen earlier.
        if !self.delays_void {
            self.check_delay(&format!("s{number}"), attempts, due_at);
        }
    }

    fn set_aside(&mut self, lane: LaneId, key: RowKey, reason: &Reason, at: Wall) {
        let name = self.name(key.id);
        let Some(row) = self.rows.get(&key.id).cloned() else { return };
        if row.version != key.version {
            // It was replaced meanwhile, and the new one begins with no attempts, whatever the disk says.
            if let Some(session) = self.sessions.get_mut(row.session) {
                session.meddled = true;
            }
            return;
        }
        let verdict = row.refused_alone.clone();
        let Some(session) = self.sessions.get_mut(row.session) else { return };
        if session.pending.get(&row.sequence_number) != Some(&key.id) {
            // It was thrown away meanwhile; another row may have its place by now, and begins afresh.
            session.meddled = true;
            return;
        }
        session.pending.remove(&row.sequence_number);
        let refusals = session.refusals;
        let deserved = matches!(&verdict, Some((code, true)) if *code == reason.code);
        let parked = Parked { row: key.id, reason: reason.clone(), deserved };
        session.parked.insert(row.sequence_number, parked);
        session.ever_parked.insert(row.sequence_number);
        self.note(|| format!("disk: {name} is set aside: {} (deserved: {deserved})", reason.code));
        self.expect(verdict.is_some_and(|(code, _)| code == reason.code), "parking", || {
            format!("{name} is set aside for {} without having been refused for it alone", reason.code)
        });
        let most = self.config.max_attempts_rejected;
        self.expect(reason.code != "42501" || refusals >= most, "parking", || {
            format!("{name} is given up after {refusals} refusals, {most} are due to it")
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
        self.expect(same, "G7 sealed", || format!("{name} was sealed as something else: {opened:?}"));
    }

    fn put_back(&mut self, id: RowId, at: Wall) {
        let Some(row) = self.rows.get(&id) else { return };
        let Some(session) = self.sessions.get_mut(row.session) else { return };
        // Another row may have its place since it was thrown away.
        if session.parked.get(&row.sequence_number).is_some_and(|parked| parked.row == id) {
            session.parked.remove(&row.sequence_number);
            session.pending.insert(row.sequence_number, id);
            session.due_at = Some(session.due_at.map_or(at, |due_at| due_at.min(at)));
            session.attempts = 0;
            session.not_before = None;
            // Levi may go on counting where it was with the lane's other rows.
            session.meddled = true;
            let name = self.name(id);
            self.note(|| format!("disk: {name} is put back"));
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
            session.meddled = true;
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
        self.note(|| format!("disk: {name} is thrown away"));
    }
}

fn self_name(row: &NewRow) -> String {
    format!("{}/{}", row.session_id, row.sequence_number)
}
