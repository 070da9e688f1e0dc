//! Changes to rows and lanes.

use levi_types::Wall;

use super::{MemoryOutbox, ParkedRow, Row, tasks};
use crate::model::{Change, LaneId, Protection, Reason, RowId, RowKey};

impl MemoryOutbox {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Acknowledge { lane, rows, at } => {
                for row in rows.iter().filter(|row| self.matches(*lane, **row)).collect::<Vec<_>>() {
                    self.take_pending(row.id);
                }
                self.settle(*lane, *at);
            }
            Change::Defer { lane, due_at, attempts, reason } => {
                self.defer(*lane, *due_at, *attempts, reason);
            }
            Change::Park { lane, row, reason, at } => self.park(*lane, *row, reason, *at),
            Change::Reseal { row, payload } => self.reseal(*row, payload),
            Change::RetryNow { at } => {
                for lane in self.lanes.keys().copied().collect::<Vec<_>>() {
                    self.retry(lane, *at);
                }
                tasks::retry_now(&mut self.tasks, *at);
            }
            Change::RetrySession { session_id, at } => {
                if let Some(lane) = self.sessions.get(session_id).copied() {
                    self.retry(lane, *at);
                }
            }
            Change::Unpark { row, at } => self.unpark(*row, *at),
            Change::Discard { row } => self.discard(*row),
            task => tasks::apply(&mut self.tasks, task),
        }
    }

    fn matches(&self, lane: LaneId, key: RowKey) -> bool {
        self.rows.get(&key.id).is_some_and(|row| row.version == key.version && row.lane == lane)
    }

    /// After an answer: what is left is due again, its attempts forgotten; a lane with nothing left goes.
    fn settle(&mut self, lane: LaneId, at: Wall) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        state.attempts = 0;
        state.reason = None;
        let due_at = if state.places.is_empty() { None } else { Some(at) };
        self.schedule(lane, due_at);
        self.drop_if_empty(lane);
    }

    fn drop_if_empty(&mut self, lane: LaneId) {
        let Some(state) = self.lanes.get(&lane) else { return };
        if state.places.is_empty() && state.parked.is_empty() {
            self.sessions.remove(&state.session_id);
            self.lanes.remove(&lane);
        }
    }

    fn defer(&mut self, lane: LaneId, due_at: Wall, attempts: u32, reason: &Reason) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if state.places.is_empty() {
            return self.drop_if_empty(lane);
        }
        state.attempts = attempts;
        state.reason = Some(reason.clone());
        self.schedule(lane, Some(due_at));
    }

    fn park(&mut self, lane: LaneId, key: RowKey, reason: &Reason, at: Wall) {
        if !self.matches(lane, key) {
            return self.drop_if_empty(lane);
        }
        if let Some(row) = self.take_pending(key.id) {
            self.parked_bytes += row.payload.len() as u64;
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

    /// An emptied lane stays until an answer settles it: the row may be on its way, and a new lane for the
    /// session could then be sent beside it.
    fn discard(&mut self, id: RowId) {
        if self.take_parked(id).is_some() {
            return;
        }
        let Some(row) = self.take_pending(id) else { return };
        let Some(state) = self.lanes.get_mut(&row.lane) else { return };
        // Attempts are the first row's: its successor starts afresh, or it would be given up too early.
        let was_first = state.places.range(..row.sequence_number).next().is_none();
        if was_first {
            state.attempts = 0;
            state.reason = None;
        }
        let due_at = state.due_at.filter(|_| !state.places.is_empty());
        self.schedule(row.lane, due_at);
    }

    fn reseal(&mut self, key: RowKey, payload: &[u8]) {
        let Some(row) = self.rows.get_mut(&key.id).filter(|row| row.version == key.version) else { return };
        self.pending_bytes = self.pending_bytes - row.payload.len() as u64 + payload.len() as u64;
        row.payload = payload.into();
        row.protection = Protection::Sealed;
    }

    fn retry(&mut self, lane: LaneId, at: Wall) {
        let due_at = self.lanes.get(&lane).and_then(|state| state.due_at);
        if due_at.is_some_and(|due_at| due_at > at) {
            self.schedule(lane, Some(at));
        }
    }

    pub(super) fn put_pending(&mut self, id: RowId, row: Row) {
        self.pending_bytes += row.payload.len() as u64;
        if let Some(state) = self.lanes.get_mut(&row.lane) {
            state.places.insert(row.sequence_number, id);
        }
        self.rows.insert(id, row);
    }

    /// Takes a row out; what that means for its lane's schedule is the caller's business.
    pub(super) fn take_pending(&mut self, id: RowId) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        self.pending_bytes -= row.payload.len() as u64;
        if let Some(state) = self.lanes.get_mut(&row.lane) {
            state.places.remove(&row.sequence_number);
        }
        Some(row)
    }

    pub(super) fn take_parked(&mut self, id: RowId) -> Option<ParkedRow> {
        let parked = self.parked.remove(&id)?;
        self.parked_bytes -= parked.row.payload.len() as u64;
        if let Some(state) = self.lanes.get_mut(&parked.row.lane) {
            state.parked.remove(&parked.row.sequence_number);
        }
        Some(parked)
    }
}
