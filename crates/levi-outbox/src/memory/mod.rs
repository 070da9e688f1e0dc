//! The outbox in memory: for tests and simulations, and the simplest statement of what a store
//! does.

mod change;
mod enqueue;
mod list;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use levi_types::{MessageId, RepositoryId, SessionId, UserId, Wall};

use crate::error::OutboxError;
use crate::model::{
    Change, Due, DueLane, Encryption, Enqueued, Held, LaneId, LaneKey, ListedRow, LoneFailure, NewRow,
    Overwrite, ParkedParent, PendingControlRow, Reason, RowHead, RowId, RowKey, RowKind, RowState,
    TextDigest, TextDigests, Totals, WaitingLane,
};
use crate::store::{DueQuery, OutboxStore, PayloadSink};

/// An outbox whose rows are lost when the process ends. It never fails, so every commit is whole.
#[derive(Debug)]
pub struct MemoryOutbox {
    max_pending_bytes: u64,
    pending: BTreeMap<RowId, Row>,
    parked: BTreeMap<RowId, ParkedRow>,
    lanes: BTreeMap<LaneId, Lane>,
    by_key: HashMap<LaneKey, LaneId>,
    /// Who signed in last.
    user: Option<UserId>,
    paused_until: Option<Wall>,
    lone_failures: BTreeMap<LaneId, LoneFailure>,
    parked_on_probes: u32,
    /// Every lane with pending rows, blocked or not, in the order in which they are due.
    schedule: BTreeSet<(Wall, LaneId)>,
    writer: Option<[u8; 16]>,
    sessions_sent: HashSet<SessionId>,
    discarded: HashSet<RowId>,
    /// The texts that the server has, by user, session and sequence number.
    synced: HashMap<(Option<UserId>, SessionId), BTreeMap<i64, TextDigest>>,
    last_row: i64,
    last_lane: i64,
    /// Counts of rows and bytes; `lanes` and `oldest` are looked up when they are asked for.
    counts: Totals,
}

#[derive(Debug)]
struct Row {
    lane: LaneId,
    kind: RowKind,
    sequence_number: i64,
    version: u32,
    message_id: MessageId,
    payload: Box<[u8]>,
    encryption: Encryption,
    enqueued_at: Wall,
    overwrite: Overwrite,
    /// The version for which the caller said so.
    overwrite_since: u32,
}

#[derive(Debug)]
struct ParkedRow {
    row: Row,
    reason: Reason,
}

#[derive(Debug)]
struct Lane {
    key: LaneKey,
    /// For whom it waits; `None`: for the first user who will sign in.
    user: Option<UserId>,
    /// The repository that a session's row waits for.
    repository: Option<RepositoryId>,
    attempts: u32,
    reason: Option<Reason>,
    /// `None` exactly if `pending` is empty.
    due_at: Option<Wall>,
    /// The lane's rows by sequence number.
    pending: BTreeMap<i64, RowId>,
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
            pending: BTreeMap::new(),
            parked: BTreeMap::new(),
            lanes: BTreeMap::new(),
            by_key: HashMap::new(),
            user: None,
            paused_until: None,
            lone_failures: BTreeMap::new(),
            parked_on_probes: 0,
            schedule: BTreeSet::new(),
            writer: None,
            sessions_sent: HashSet::new(),
            discarded: HashSet::new(),
            synced: HashMap::new(),
            last_row: 0,
            last_lane: 0,
            counts: Totals::default(),
        }
    }

    /// Names the outbox, for one that outlives its owner.
    #[must_use]
    pub const fn with_writer(mut self, writer: [u8; 16]) -> Self {
        self.writer = Some(writer);
        self
    }

    /// The only place that writes `due_at`, so that `schedule` always agrees with the lanes.
    fn schedule(&mut self, lane: LaneId, due_at: Option<Wall>) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if let Some(old) = std::mem::replace(&mut state.due_at, due_at) {
            self.schedule.remove(&(old, lane));
        }
        self.schedule.extend(due_at.map(|due_at| (due_at, lane)));
    }

    /// The lane that must be empty before `lane` is due, unless it is empty or does not exist.
    fn blocked_by(&self, lane: &Lane) -> Option<LaneId> {
        let parent = lane.key.parent().or_else(|| lane.repository.clone().map(LaneKey::Repository))?;
        let id = *self.by_key.get(&parent)?;
        self.lanes.get(&id).is_some_and(|parent| !parent.is_empty()).then_some(id)
    }

    /// Payload bytes of some lanes.
    fn held_bytes_of(&self, is_held: impl Fn(&Lane) -> bool) -> u64 {
        let lanes = self.lanes.values().filter(|lane| is_held(lane));
        let rows = lanes.flat_map(|lane| lane.pending.values().chain(lane.parked.values()));
        rows.filter_map(|id| self.row(*id)).map(|row| row.payload.len() as u64).sum()
    }

    fn head(&self, id: RowId) -> Option<RowHead> {
        let row = self.pending.get(&id)?;
        Some(RowHead {
            key: RowKey { id, version: row.version },
            sequence_number: row.sequence_number,
            bytes: row.bytes(),
            encryption: row.encryption,
            enqueued_at: row.enqueued_at,
            overwrite: row.overwrite,
        })
    }
}

impl Row {
    fn bytes(&self) -> u32 {
        u32::try_from(self.payload.len()).unwrap_or(u32::MAX)
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.parked.is_empty()
    }
}

impl OutboxStore for MemoryOutbox {
    fn commit(&mut self, changes: &[Change], rows: &[NewRow]) -> Result<Vec<Enqueued>, OutboxError> {
        for change in changes {
            self.apply(change);
        }
        Ok(rows.iter().map(|row| self.store(row, self.max_pending_bytes)).collect())
    }

    fn due(&self, query: DueQuery<'_>) -> Result<Due, OutboxError> {
        let horizon = query.horizon.max(query.now);
        let free = |(_, id): &&(Wall, LaneId)| {
            !query.except.contains(id)
                && self
                    .lanes
                    .get(id)
                    .is_some_and(|lane| lane.user.as_ref() == query.user && self.blocked_by(lane).is_none())
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
                key: state.key.clone(),
                attempts: state.attempts,
                more: state.pending.len() > heads.len(),
                heads,
            });
        }
        due.next_due =
            self.schedule.iter().filter(free).map(|(due_at, _)| *due_at).find(|due_at| !is_due(*due_at));
        Ok(due)
    }

    fn heads(&self, lane: LaneId, after: Option<i64>, limit: usize) -> Result<Vec<RowHead>, OutboxError> {
        let Some(state) = self.lanes.get(&lane).filter(|lane| self.blocked_by(lane).is_none()) else {
            return Ok(Vec::new());
        };
        let behind = |number: &i64| after.is_none_or(|after| *number > after);
        let from = after.unwrap_or(i64::MIN);
        let rows = state.pending.range(from..).filter(|(number, _)| behind(number));
        Ok(rows.filter_map(|(_, id)| self.head(*id)).take(limit).collect())
    }

    fn payloads(&self, rows: &[RowKey], sink: PayloadSink<'_>) -> Result<(), OutboxError> {
        for key in rows {
            if let Some(row) = self.row(key.id).filter(|row| row.version == key.version) {
                sink(*key, row.message_id.as_str(), &row.payload);
            }
        }
        Ok(())
    }

    fn rows_under_database_key(
        &self,
        lane: LaneId,
        limit: usize,
    ) -> Result<Vec<(RowKey, NewRow)>, OutboxError> {
        let Some(state) = self.lanes.get(&lane) else { return Ok(Vec::new()) };
        let rows = state.pending.values().filter_map(|id| Some((*id, self.pending.get(id)?)));
        let under_database_key =
            |row: &Row| row.kind == RowKind::Message && row.encryption == Encryption::DatabaseKey;
        let rows = rows.filter(|(_, row)| under_database_key(row));
        let full = |(id, row): (RowId, &Row)| {
            let new_row = NewRow {
                user: None,
                lane: state.key.clone(),
                parent: None,
                sequence_number: row.sequence_number,
                message_id: row.message_id.clone(),
                payload: row.payload.to_vec(),
                encryption: row.encryption,
                enqueued_at: row.enqueued_at,
                overwrite: row.overwrite,
                restores_session: false,
                texts: TextDigests::default(),
            };
            (RowKey { id, version: row.version }, new_row)
        };
        Ok(rows.take(limit).map(full).collect())
    }

    fn row_state(&self, row: RowId) -> Result<RowState, OutboxError> {
        let parked = || self.parked.get(&row).map(|parked| RowState::Parked(parked.reason.clone()));
        let discarded = || self.discarded.contains(&row).then_some(RowState::Discarded);
        let pending = self.pending.get(&row).map(|row| {
            let reason = self.lanes.get(&row.lane).and_then(|lane| self.parked_ancestor(lane));
            reason.map_or(RowState::Pending(row.version), RowState::ParentParked)
        });
        Ok(pending.or_else(parked).or_else(discarded).unwrap_or(RowState::Gone))
    }

    fn session_was_sent(&self, session: &SessionId) -> Result<bool, OutboxError> {
        Ok(self.sessions_sent.contains(session))
    }

    fn parked_parents(&self, limit: usize) -> Result<Vec<ParkedParent>, OutboxError> {
        let parents = self.lanes.values().filter(|lane| lane.key.kind().can_block());
        let parked = parents.filter_map(|lane| {
            let row = lane.parked.values().next().and_then(|id| self.parked.get(id))?;
            Some(ParkedParent { lane: lane.key.clone(), reason: row.reason.clone() })
        });
        Ok(parked.take(limit).collect())
    }

    fn pending_control_row(&self, lane: &LaneKey) -> Result<Option<PendingControlRow>, OutboxError> {
        if !lane.kind().is_control() {
            return Ok(None);
        }
        let Some(lane) = self.by_key.get(lane).copied() else { return Ok(None) };
        let first = self.lanes.get(&lane).and_then(|lane| lane.pending.values().next());
        let row = first.and_then(|id| Some((*id, self.pending.get(id)?)));
        Ok(row.map(|(id, row)| PendingControlRow {
            lane,
            row: RowKey { id, version: row.version },
            payload: row.payload.to_vec(),
        }))
    }

    fn parked_reason(&self, lane: &LaneKey) -> Result<Option<Reason>, OutboxError> {
        let lane = self.by_key.get(lane).and_then(|id| self.lanes.get(id));
        let parked = lane.and_then(|lane| lane.parked.values().next()).and_then(|id| self.parked.get(id));
        Ok(parked.map(|row| row.reason.clone()))
    }

    fn writer(&self) -> Result<Option<[u8; 16]>, OutboxError> {
        Ok(self.writer)
    }

    fn last_sequence_number(&self, session: &SessionId) -> Result<Option<i64>, OutboxError> {
        let lane = self.by_key.get(&LaneKey::Messages(session.clone()));
        let Some(lane) = lane.and_then(|lane| self.lanes.get(lane)) else { return Ok(None) };
        let last = |rows: &BTreeMap<i64, RowId>| rows.last_key_value().map(|(number, _)| *number);
        Ok(last(&lane.pending).max(last(&lane.parked)))
    }

    fn totals(&self) -> Result<Totals, OutboxError> {
        let oldest = self.pending.values().next().map(|row| row.enqueued_at);
        Ok(Totals { lanes: self.schedule.len() as u64, oldest, ..self.counts })
    }

    fn user(&self) -> Result<Option<UserId>, OutboxError> {
        Ok(self.user.clone())
    }

    fn paused_until(&self) -> Result<Option<Wall>, OutboxError> {
        Ok(self.paused_until)
    }

    fn parked_on_probes(&self) -> Result<u32, OutboxError> {
        Ok(self.parked_on_probes)
    }

    fn lone_failures(&self) -> Result<Vec<LoneFailure>, OutboxError> {
        let is_pending = |failure: &&LoneFailure| self.matches(failure.lane, failure.row);
        Ok(self.lone_failures.values().filter(is_pending).copied().collect())
    }

    fn held(&self) -> Result<Vec<Held>, OutboxError> {
        let mut held: BTreeMap<Option<UserId>, Held> = BTreeMap::new();
        for lane in self.lanes.values().filter(|lane| lane.user != self.user && !lane.is_empty()) {
            let user_id = lane.user.clone();
            let sum =
                held.entry(user_id.clone()).or_insert(Held { user_id, pending: 0, messages: 0, parked: 0 });
            let is_message = u64::from(!lane.key.kind().is_control());
            sum.messages += is_message * lane.pending.len() as u64;
            sum.pending += lane.pending.len() as u64;
            sum.parked += lane.parked.len() as u64;
        }
        Ok(held.into_values().collect())
    }

    fn held_bytes(&self) -> Result<u64, OutboxError> {
        Ok(self.held_bytes_of(|lane| lane.user != self.user))
    }

    fn waiting(&self, limit: usize) -> Result<Vec<WaitingLane>, OutboxError> {
        let pending = self.lanes.values().filter(|lane| !lane.pending.is_empty()).take(limit);
        Ok(pending.map(|lane| self.waiting_lane(lane)).collect())
    }

    fn list(&self, after: Option<RowId>, limit: usize) -> Result<Vec<ListedRow>, OutboxError> {
        Ok(self.list_rows(after, limit))
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
