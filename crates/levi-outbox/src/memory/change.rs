//! Changes to rows and lanes.

use levi_types::{UserId, Wall};

use super::{MemoryOutbox, ParkedRow, Row};
use crate::model::{Change, Encryption, LaneId, LaneKey, NewRow, Overwrite, Reason, RowId, RowKey};

impl MemoryOutbox {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::SignedIn { user } => self.signed_in(user),
            Change::Acknowledge { lane, rows, at } => {
                for row in rows {
                    if self.matches(*lane, *row) {
                        self.take_pending(row.id);
                    }
                    let replaced = match self.pending.get_mut(&row.id) {
                        Some(pending) => Some(pending),
                        None => self.parked.get_mut(&row.id).map(|parked| &mut parked.row),
                    };
                    if let Some(replaced) =
                        replaced.filter(|replaced| replaced.overwrite_since <= row.version)
                    {
                        replaced.overwrite = Overwrite::OwnOnly;
                    }
                    // Whatever was done to it meanwhile, the server has it.
                    self.discarded.remove(&row.id);
                }
                self.note_session_sent(*lane);
                self.settle(*lane, *at);
            }
            Change::NoteSynced { user, session, texts } => {
                let user = user.as_ref().or(self.user.as_ref()).cloned();
                let synced = self.synced.entry((user, session.clone())).or_default();
                synced.extend(texts.iter().map(|text| (text.sequence_number, text.digest)));
            }
            Change::Defer { lane, due_at, attempts, reason } => {
                self.defer(*lane, *due_at, *attempts, reason);
            }
            Change::NoteLoneFailure(failure) => drop(self.lone_failures.insert(failure.lane, *failure)),
            Change::NoteParkedOnProbes { rows } => self.parked_on_probes = *rows,
            Change::Park { lane, row, reason, at } => self.park(*lane, *row, reason, *at),
            Change::Reseal { row, payload } => self.reseal(*row, payload),
            Change::Pause { until } => self.paused_until = Some(*until),
            Change::RetryNow { at } => {
                let own = self.lanes.iter().filter(|(_, lane)| lane.user == self.user);
                for lane in own.map(|(id, _)| *id).collect::<Vec<_>>() {
                    self.retry(lane, *at);
                }
            }
            Change::RetryLane { lane, at } => {
                if let Some(lane) = self.by_key.get(lane).copied() {
                    self.retry(lane, *at);
                }
            }
            Change::Unpark { row, at } => self.unpark(*row, *at),
            Change::Discard { row } => self.discard(*row),
            Change::Ensure(row) => self.ensure(row),
        }
    }

    /// The server has a row of the lane, and so the row of its session.
    fn note_session_sent(&mut self, lane: LaneId) {
        let key = self.lanes.get(&lane).map(|lane| &lane.key);
        if let Some(LaneKey::Session(session) | LaneKey::Messages(session)) = key {
            self.sessions_sent.insert(session.clone());
        }
    }

    fn signed_in(&mut self, user: &UserId) {
        if self.user.is_none() {
            for lane in self.lanes.values_mut().filter(|lane| lane.user.is_none()) {
                lane.user = Some(user.clone());
            }
        }
        self.user = Some(user.clone());
    }

    pub(super) fn matches(&self, lane: LaneId, key: RowKey) -> bool {
        self.pending.get(&key.id).is_some_and(|row| row.version == key.version && row.lane == lane)
    }

    /// After an answer: what is left is due again, its attempts reset; an empty lane is removed.
    fn settle(&mut self, lane: LaneId, at: Wall) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.attempts = 0;
        state.reason = None;
        let due_at = if state.pending.is_empty() { None } else { Some(at) };
        self.schedule(lane, due_at);
        self.remove_if_empty(lane);
    }

    fn remove_if_empty(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get(&lane) else { return };
        if state.is_empty() {
            self.by_key.remove(&state.key);
            self.lanes.remove(&lane);
        }
    }

    fn defer(&mut self, lane: LaneId, due_at: Wall, attempts: u32, reason: &Reason) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if state.pending.is_empty() {
            return self.remove_if_empty(lane);
        }
        state.attempts = attempts;
        state.reason = Some(reason.clone());
        self.schedule(lane, Some(due_at));
    }

    fn park(&mut self, lane: LaneId, key: RowKey, reason: &Reason, at: Wall) {
        if !self.matches(lane, key) {
            return self.remove_if_empty(lane);
        }
        self.lone_failures.remove(&lane);
        if let Some(row) = self.take_pending(key.id) {
            self.counts.add_parked(row.kind, row.payload.len() as u64);
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.parked.insert(row.sequence_number, key.id);
            }
            self.parked.insert(key.id, ParkedRow { row, reason: reason.clone() });
        }
        self.settle(lane, at);
    }

    fn unpark(&mut self, id: RowId, at: Wall) {
        let Some(ParkedRow { row, .. }) = self.take_parked(id) else { return };
        let lane = row.lane;
        self.put_pending(id, row);
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.attempts = 0;
        state.reason = None;
        let due_at = state.due_at.map_or(at, |due_at| due_at.min(at));
        self.schedule(lane, Some(due_at));
    }

    /// An emptied lane stays until an answer settles it: the row may be in flight, and a new lane
    /// of the same name could then be sent beside it.
    fn discard(&mut self, id: RowId) {
        if self.row(id).is_some_and(|row| self.blocks_rows(row)) {
            return;
        }
        if self.take_parked(id).is_some() {
            self.discarded.insert(id);
            return;
        }
        let Some(row) = self.take_pending(id) else { return };
        self.discarded.insert(id);
        let Some(state) = self.lanes.get_mut(&row.lane) else { return };
        // Attempts are the first row's: its successor starts anew, or it would be parked too early.
        let was_first = state.pending.range(..row.sequence_number).next().is_none();
        if was_first {
            state.attempts = 0;
            state.reason = None;
        }
        let due_at = state.due_at.filter(|_| !state.pending.is_empty());
        self.schedule(row.lane, due_at);
    }

    /// Whether other lanes have rows that wait for this one.
    fn blocks_rows(&self, row: &Row) -> bool {
        row.kind.can_block()
            && self.lanes.values().any(|lane| !lane.is_empty() && self.blocked_by(lane) == Some(row.lane))
    }

    fn reseal(&mut self, key: RowKey, payload: &[u8]) {
        let Some(row) = self.pending.get_mut(&key.id).filter(|row| row.version == key.version) else {
            return;
        };
        self.counts.remove_pending(row.kind, 1, row.payload.len() as u64);
        self.counts.add_pending(row.kind, payload.len() as u64);
        row.payload = payload.into();
        row.encryption = Encryption::SessionKey;
    }

    fn retry(&mut self, lane: LaneId, at: Wall) {
        let due_at = self.lanes.get(&lane).and_then(|state| state.due_at);
        if due_at.is_some_and(|due_at| due_at > at) {
            self.schedule(lane, Some(at));
        }
    }

    fn ensure(&mut self, new: &NewRow) {
        let lane = self.by_key.get(&new.lane).copied();
        let same_parent = |lane: &LaneId| {
            let Some(state) = self.lanes.get(lane) else { return false };
            new.repository().is_none() || state.repository.as_ref() == new.repository()
        };
        match lane.filter(same_parent).and_then(|lane| self.holder(lane, new.position())) {
            Some(row) => self.unpark(row, new.enqueued_at),
            None => {
                self.store(new, u64::MAX);
            }
        }
    }

    pub(super) fn put_pending(&mut self, id: RowId, row: Row) {
        self.counts.add_pending(row.kind, row.payload.len() as u64);
        if let Some(state) = self.lanes.get_mut(&row.lane) {
            state.pending.insert(row.sequence_number, id);
        }
        self.pending.insert(id, row);
    }

    /// Takes a row out; the caller updates its lane's schedule.
    pub(super) fn take_pending(&mut self, id: RowId) -> Option<Row> {
        let row = self.pending.remove(&id)?;
        self.counts.remove_pending(row.kind, 1, row.payload.len() as u64);
        if let Some(state) = self.lanes.get_mut(&row.lane) {
            state.pending.remove(&row.sequence_number);
        }
        Some(row)
    }

    pub(super) fn take_parked(&mut self, id: RowId) -> Option<ParkedRow> {
        let parked = self.parked.remove(&id)?;
        self.counts.remove_parked(parked.row.kind, parked.row.payload.len() as u64);
        if let Some(state) = self.lanes.get_mut(&parked.row.lane) {
            state.parked.remove(&parked.row.sequence_number);
        }
        Some(parked)
    }
}
