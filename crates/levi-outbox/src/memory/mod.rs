//! The outbox in memory: for tests and simulations, and as the plain statement of what every store does.

mod change;
mod enqueue;
mod tasks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use levi_types::{MessageId, SessionId, Wall};

use self::tasks::Task;
use crate::error::OutboxError;
use crate::model::{
    Change, Due, DueLane, DueTasks, Enqueued, LaneId, ListedRow, ListedTask, NewRow, Protection, Reason,
    RowHead, RowId, RowKey, RowState, Totals,
};
use crate::store::{DueQuery, OutboxStore, PayloadSink};

/// An outbox that is gone with the process. It never fails, so every commit is whole.
#[derive(Debug)]
pub struct MemoryOutbox {
    max_pending_bytes: u64,
    rows: BTreeMap<RowId, Row>,
    parked: BTreeMap<RowId, ParkedRow>,
    lanes: BTreeMap<LaneId, Lane>,
    sessions: HashMap<SessionId, LaneId>,
    /// Every lane with rows, in the order in which they are due.
    schedule: BTreeSet<(Wall, LaneId)>,
    tasks: BTreeMap<String, Task>,
    last_row: i64,
    last_lane: i64,
    pending_bytes: u64,
    parked_bytes: u64,
}

#[derive(Debug)]
struct Row {
    lane: LaneId,
    sequence_number: i64,
    version: u32,
    message_id: MessageId,
    payload: Box<[u8]>,
    protection: Protection,
    enqueued_at: Wall,
}

#[derive(Debug)]
struct ParkedRow {
    row: Row,
    reason: Reason,
}

#[derive(Debug)]
struct Lane {
    session_id: SessionId,
    attempts: u32,
    reason: Option<Reason>,
    /// `None` exactly where `places` is empty.
    due_at: Option<Wall>,
    places: BTreeMap<i64, RowId>,
    parked: BTreeMap<i64, RowId>,
}

impl Default for MemoryOutbox {
    /// An empty outbox without a bound.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl MemoryOutbox {
    /// An empty outbox that takes at most `max_pending_bytes` of payload, pending and parked.
    pub fn new(max_pending_bytes: u64) -> Self {
        Self {
            max_pending_bytes,
            rows: BTreeMap::new(),
            parked: BTreeMap::new(),
            lanes: BTreeMap::new(),
            sessions: HashMap::new(),
            schedule: BTreeSet::new(),
            tasks: BTreeMap::new(),
            last_row: 0,
            last_lane: 0,
            pending_bytes: 0,
            parked_bytes: 0,
        }
    }

    /// The only place that writes `due_at`, so that the schedule is always the lanes' own.
    fn schedule(&mut self, lane: LaneId, due_at: Option<Wall>) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if let Some(old) = std::mem::replace(&mut state.due_at, due_at) {
            self.schedule.remove(&(old, lane));
        }
        self.schedule.extend(due_at.map(|due_at| (due_at, lane)));
    }

    fn held_sessions(&self) -> HashSet<&SessionId> {
        let held_up = |task: &Task| {
            task.parent().and_then(|parent| self.tasks.get(parent)).is_some_and(Task::is_parked)
        };
        self.tasks.values().filter(|task| !held_up(task)).filter_map(Task::holds).collect()
    }

    fn head(&self, id: RowId) -> Option<RowHead> {
        let row = self.rows.get(&id)?;
        Some(RowHead {
            key: RowKey { id, version: row.version },
            sequence_number: row.sequence_number,
            bytes: row.bytes(),
            protection: row.protection,
            enqueued_at: row.enqueued_at,
        })
    }

    fn listed(&self, id: RowId, row: &Row, reason: Option<&Reason>) -> Option<ListedRow> {
        let lane = self.lanes.get(&row.lane)?;
        let parked = reason.is_some();
        Some(ListedRow {
            id,
            version: row.version,
            session_id: lane.session_id.clone(),
            sequence_number: row.sequence_number,
            message_id: row.message_id.clone(),
            bytes: row.bytes(),
            protection: row.protection,
            enqueued_at: row.enqueued_at,
            parked,
            attempts: if parked { 0 } else { lane.attempts },
            due_at: if parked { None } else { lane.due_at },
            reason: reason.or(lane.reason.as_ref()).cloned(),
        })
    }
}

impl Row {
    fn bytes(&self) -> u32 {
        u32::try_from(self.payload.len()).unwrap_or(u32::MAX)
    }
}

impl OutboxStore for MemoryOutbox {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        for change in changes {
            self.apply(change);
        }
        Ok(rows.iter().map(|row| self.store(row)).collect())
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        let horizon = query.horizon.max(query.now);
        let held = self.held_sessions();
        let free = |(_, id): &&(Wall, LaneId)| {
            !query.except.contains(id)
                && self.lanes.get(id).is_some_and(|lane| !held.contains(&lane.session_id))
        };
        let is_due = |due_at: Wall| due_at <= query.now || due_at > horizon;
        let mut due = Due::default();
        let mut heads_collected = 0;
        let on_time = self.schedule.iter().filter(|(due_at, _)| *due_at <= query.now);
        let beyond = self.schedule.iter().filter(|(due_at, _)| *due_at > horizon);
        for (_, lane) in on_time.chain(beyond).filter(free) {
            if due.lanes.len() >= query.max_lanes || heads_collected >= query.max_heads {
                due.more = true;
                break;
            }
            let Some(state) = self.lanes.get(lane) else { continue };
            let heads = self.heads(*lane, None, query.heads_per_lane)?;
            heads_collected += heads.len();
            due.lanes.push(DueLane {
                lane: *lane,
                session_id: state.session_id.clone(),
                attempts: state.attempts,
                more: state.places.len() > heads.len(),
                heads,
            });
        }
        due.next_due =
            self.schedule.iter().filter(free).map(|(due_at, _)| *due_at).find(|due_at| !is_due(*due_at));
        Ok(due)
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        let Some(state) = self.lanes.get(&lane) else { return Ok(Vec::new()) };
        let behind = |place: &i64| after.is_none_or(|after| *place > after);
        let from = after.unwrap_or(i64::MIN);
        let places = state.places.range(from..).filter(|(place, _)| behind(place));
        Ok(places.filter_map(|(_, id)| self.head(*id)).take(limit).collect())
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        for key in rows {
            let parked = || self.parked.get(&key.id).map(|parked| &parked.row);
            let row = self.rows.get(&key.id).or_else(parked);
            if let Some(row) = row.filter(|row| row.version == key.version) {
                sink(*key, row.message_id.as_str(), &row.payload);
            }
        }
        Ok(())
    }

    fn at_rest(&self, lane: LaneId, limit: usize) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        let Some(state) = self.lanes.get(&lane) else { return Ok(Vec::new()) };
        let rows = state.places.values().filter_map(|id| Some((*id, self.rows.get(id)?)));
        let at_rest = rows.filter(|(_, row)| row.protection == Protection::AtRest);
        let full = |(id, row): (RowId, &Row)| {
            let new_row = NewRow {
                session_id: state.session_id.clone(),
                sequence_number: row.sequence_number,
                message_id: row.message_id.clone(),
                payload: row.payload.to_vec(),
                protection: row.protection,
                enqueued_at: row.enqueued_at,
            };
            (RowKey { id, version: row.version }, new_row)
        };
        Ok(at_rest.take(limit).map(full).collect())
    }

    fn due_tasks(&self, now: Wall, horizon: Wall, limit: usize) -> Result<DueTasks, OutboxError> {
        Ok(tasks::due(&self.tasks, now, horizon.max(now), limit))
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        let parked = || self.parked.get(&row).map(|parked| RowState::Parked(parked.reason.clone()));
        let pending = self.rows.get(&row).map(|row| RowState::Pending(row.version));
        Ok(pending.or_else(parked).unwrap_or(RowState::Gone))
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        Ok(Totals {
            pending_rows: self.rows.len() as u64,
            pending_bytes: self.pending_bytes,
            parked_rows: self.parked.len() as u64,
            parked_bytes: self.parked_bytes,
            lanes: self.schedule.len() as u64,
            tasks: self.tasks.len() as u64,
            oldest: self.rows.values().next().map(|row| row.enqueued_at),
        })
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        let behind = |id: &RowId| after.is_none_or(|after| *id > after);
        let from = after.unwrap_or(RowId(i64::MIN));
        let pending = self.rows.range(from..).filter(|(id, _)| behind(id)).take(limit);
        let parked = self.parked.range(from..).filter(|(id, _)| behind(id)).take(limit);
        let pending = pending.filter_map(|(id, row)| self.listed(*id, row, None));
        let parked = parked.filter_map(|(id, parked)| self.listed(*id, &parked.row, Some(&parked.reason)));
        let mut listed: Vec<_> = pending.chain(parked).collect();
        listed.sort_unstable_by_key(|row| row.id);
        listed.truncate(limit);
        Ok(listed)
    }

    fn tasks(&self, limit: usize) -> Result<Vec<ListedTask>, OutboxError> {
        Ok(tasks::list(&self.tasks, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryOutbox;
    use crate::conformance;

    #[test]
    fn memory_passes_the_suite() {
        conformance::run(|max_pending_bytes| Box::new(MemoryOutbox::new(max_pending_bytes)));
    }
}
