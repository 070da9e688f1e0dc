//! The lanes at hand: a bounded window on the outbox, served round robin.

use std::collections::{HashMap, VecDeque};

use levi_outbox::{DueLane, LaneId, LaneKey, RowHead};
use levi_types::Monotonic;

use super::io::{Action, LaneRows, Part};
use super::lane::{Group, Lane};

/// The greatest size of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) rows: usize,
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct LaneWindows {
    lanes: HashMap<LaneId, Lane>,
    by_key: HashMap<LaneKey, LaneId>,
    order: VecDeque<LaneId>,
    /// How many of the lanes have a control row.
    control_lanes: usize,
    /// Control lanes that are due while this process cannot send control rows.
    held_back: Vec<LaneId>,
    /// Lanes that were in flight when the user changed, until the response comes.
    in_flight_elsewhere: Vec<LaneId>,
    /// Lanes that left since the last load began. What was decided about them may not be on disk yet.
    recently_removed: Vec<LaneId>,
    last_group: u64,
}

impl LaneWindows {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn lane(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(&id)
    }

    pub(super) fn new_group(&mut self) -> Group {
        self.last_group += 1;
        Group(self.last_group)
    }

    pub(super) fn insert(&mut self, due: DueLane, flush_at: Monotonic) {
        let (id, key) = (due.lane, due.key.clone());
        let is_control = key.kind().is_control();
        if self.lanes.insert(id, Lane::new(due, flush_at)).is_none() {
            self.by_key.insert(key, id);
            self.order.push_back(id);
            self.control_lanes += usize::from(is_control);
        }
    }

    /// The lane shares no request with others until the first `rows` of it, one of which may be bad, are accepted. At most
    /// those at hand count.
    pub(super) fn send_apart(&mut self, id: LaneId, rows: usize) {
        let group = self.new_group();
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.group = group;
            lane.bisecting = rows.min(lane.window.len().saturating_mul(2));
        }
    }

    pub(super) fn remove(&mut self, id: LaneId) {
        if let Some(lane) = self.lanes.remove(&id) {
            self.by_key.remove(&lane.key);
            self.order.retain(|other| *other != id);
            self.control_lanes -= usize::from(lane.is_control());
            self.recently_removed.push(id);
        }
    }

    /// Sets a control lane aside until this process can send control rows.
    pub(super) fn hold_back(&mut self, id: LaneId) {
        self.held_back.push(id);
    }

    pub(super) fn release_held_back(&mut self) {
        self.held_back.clear();
    }

    /// Lanes that a load must leave out.
    pub(super) fn known(&self) -> Vec<LaneId> {
        self.order
            .iter()
            .chain(&self.held_back)
            .chain(&self.in_flight_elsewhere)
            .chain(&self.recently_removed)
            .copied()
            .collect()
    }

    /// Whether a load left lanes out that may be due.
    pub(super) fn some_were_left_out(&self) -> bool {
        !self.recently_removed.is_empty()
    }

    pub(super) fn begin_load(&mut self) {
        self.recently_removed.clear();
    }

    /// Takes the rows that [`Action::LoadLane`] asked for.
    pub(super) fn extend(&mut self, loaded: LaneRows, flush_at: Monotonic) {
        let id = loaded.lane;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.extend(loaded, flush_at);
            self.remove_if_exhausted(id);
        }
    }

    /// A row was written to the lane, which blocks the lane's children if it is a control row.
    pub(super) fn note_write(&mut self, key: &LaneKey, sequence_number: i64) {
        if let Some(lane) = self.by_key.get(key).and_then(|id| self.lanes.get_mut(id)) {
            lane.note_write(sequence_number);
        }
        match key {
            LaneKey::Repository(_) => {
                // The batcher does not know which sessions name the repository.
                let sessions = self.lanes.values_mut().filter(|lane| matches!(lane.key, LaneKey::Session(_)));
                sessions.for_each(Lane::block);
            }
            LaneKey::Session(session) => {
                for child in [LaneKey::Secret(session.clone()), LaneKey::Messages(session.clone())] {
                    let lane = self.by_key.get(&child).and_then(|id| self.lanes.get_mut(id));
                    lane.into_iter().for_each(Lane::block);
                }
            }
            LaneKey::Secret(_) | LaneKey::Messages(_) => {}
        }
    }

    /// Any row may have been written.
    pub(super) fn invalidate_all(&mut self) {
        self.lanes.values_mut().for_each(Lane::invalidate);
    }

    /// The outbox failed: what is not in flight is forgotten and loaded again later.
    pub(super) fn forget_idle(&mut self) {
        let idle = self.lanes.iter().filter(|(_, lane)| !lane.in_flight);
        let idle: Vec<LaneId> = idle.map(|(id, _)| *id).collect();
        for id in idle {
            self.remove(id);
        }
        self.invalidate_all();
        for lane in self.lanes.values_mut() {
            lane.awaits_response = false;
        }
    }

    /// The user changed: what is at hand is another's. Lanes that are in flight are not loaded before the
    /// response came, should their user be back sooner.
    pub(super) fn forget_all(&mut self, in_flight: impl Iterator<Item = LaneId>) {
        let mut in_flight_elsewhere = std::mem::take(&mut self.in_flight_elsewhere);
        in_flight_elsewhere.extend(in_flight);
        let last_group = self.last_group;
        *self = Self { in_flight_elsewhere, last_group, ..Self::default() };
    }

    /// The response came for a lane that was in flight when the user changed.
    pub(super) fn landed_elsewhere(&mut self, id: LaneId) {
        self.in_flight_elsewhere.retain(|lane| *lane != id);
        self.recently_removed.push(id);
    }

    fn messages(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values().filter(|lane| !lane.is_control())
    }

    /// Whether any row could be sent this instant.
    pub(super) fn has_ready(&self) -> bool {
        self.lanes.values().any(Lane::is_ready)
    }

    /// Messages that could be sent this instant, counted no further than `enough`.
    pub(super) fn ready_rows(&self, enough: usize) -> usize {
        let ready = self.messages().filter(|lane| lane.is_ready());
        ready.flat_map(Lane::sealed).take(enough).count()
    }

    /// Rows that are not in flight, counted no further than `enough`. Those that are not loaded count as enough.
    pub(super) fn waiting_rows(&self, enough: usize) -> usize {
        let rows = |lane: &Lane| if lane.more { enough } else { lane.window.len() };
        self.lanes.values().fold(0, |sum: usize, lane| sum.saturating_add(rows(lane))).min(enough)
    }

    /// Whether any lane that could be sent has more messages on disk than in its window.
    pub(super) fn ready_lane_has_more(&self) -> bool {
        self.messages().any(|lane| lane.is_ready() && lane.more)
    }

    /// When the first ready message stops waiting for a fuller batch: at once where a bad row is searched.
    pub(super) fn flush_at(&self) -> Option<Monotonic> {
        let at = |lane: &Lane| if lane.group == Group::COMMON { lane.flush_at } else { Monotonic::default() };
        self.messages().filter(|lane| lane.is_ready()).map(at).min()
    }

    /// What to seal: lanes whose first row waits for its session's key, each of which is named once.
    pub(super) fn lanes_to_seal(&mut self) -> Vec<Action> {
        let mut unsealed = Vec::new();
        for id in &self.order {
            let Some(lane) = self.lanes.get_mut(id).filter(|lane| lane.is_unsealed()) else { continue };
            if let Some(session_id) = lane.key.session_id().cloned() {
                unsealed.push(Action::Seal { lane: *id, session_id });
                lane.awaits_response = true;
            }
        }
        unsealed
    }

    /// What to load for the lanes with less than `low` rows in their windows, up to `full` rows each.
    pub(super) fn lanes_to_refill(&mut self, low: usize, full: usize) -> Vec<Action> {
        let mut loads = Vec::new();
        for id in &self.order {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            let is_low = lane.more && lane.window.len() < low;
            if is_low && !lane.awaits_response && !lane.restart_pending {
                lane.awaits_response = true;
                let limit = full.saturating_sub(lane.window.len());
                loads.push(Action::LoadLane { lane: *id, after: lane.last_known, limit });
            }
        }
        loads
    }

    /// Takes the first control row that is ready.
    pub(super) fn next_control_row(&mut self) -> Option<Part> {
        if self.control_lanes == 0 {
            return None;
        }
        for id in &self.order {
            let lane = self.lanes.get_mut(id).filter(|lane| lane.is_control() && lane.is_ready());
            if let Some(lane) = lane
                && let Some(row) = lane.window.pop_front()
            {
                lane.in_flight = true;
                return Some(Part { lane: *id, key: lane.key.clone(), rows: vec![row] });
            }
        }
        None
    }

    /// Takes the messages of the next batch: the first ready lane's, then those of its group. `requests`: how many more may
    /// be in flight.
    ///
    /// The ready lanes are divided among these, so that each batch has the rows of several lanes that were enqueued at
    /// about the same time. They share pages of the outbox, and are removed together.
    pub(super) fn next_batch(
        &mut self,
        limits: Limits,
        requests: usize,
        flush_at: impl Fn(&RowHead) -> Monotonic,
    ) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let mut group = None;
        let mut room = Room::of_request(limits);
        let ready = self.messages().filter(|lane| lane.is_ready()).count();
        let share = limits.rows.div_ceil(ready.div_ceil(requests.max(1)).max(1));
        for id in &self.order {
            let lane = self.lanes.get_mut(id).filter(|lane| lane.is_ready() && !lane.is_control());
            let Some(lane) = lane else { continue };
            if group.is_some_and(|group| group != lane.group) {
                continue;
            }
            let rows = room.take_from(lane, share);
            if rows.is_empty() {
                continue;
            }
            lane.in_flight = true;
            group = Some(lane.group);
            parts.push(Part { lane: *id, key: lane.key.clone(), rows });
            if room.is_full() {
                break;
            }
        }
        // What the shorter lanes left of their shares.
        for part in &mut parts {
            let Some(lane) = self.lanes.get_mut(&part.lane) else { continue };
            if lane.bisecting == 0 {
                part.rows.extend(room.take_from(lane, usize::MAX));
            }
            if let Some(front) = lane.window.front() {
                lane.flush_at = flush_at(front);
            }
        }
        parts
    }

    /// The server has the request's rows of this lane. The lane moves behind the others.
    pub(super) fn acknowledged(&mut self, id: LaneId, rows: usize) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.attempts = 0;
        lane.bisecting = lane.bisecting.saturating_sub(rows);
        if lane.bisecting == 0 {
            lane.group = Group::COMMON;
        }
        lane.landed();
        self.remove_if_exhausted(id);
        self.move_to_back(id);
    }

    /// The lane's first row was parked. The others are sent apart from other lanes until one of them is
    /// accepted, so that a second bad row costs other lanes nothing.
    pub(super) fn without_first(&mut self, id: LaneId, bisecting: usize) {
        let group = self.new_group();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.attempts = 0;
        lane.bisecting = bisecting;
        lane.group = group;
        lane.landed();
        self.remove_if_exhausted(id);
    }

    /// Puts the rows back to the front of their lane.
    pub(super) fn put_back(&mut self, part: Part) {
        let Some(lane) = self.lanes.get_mut(&part.lane) else { return };
        for row in part.rows.into_iter().rev() {
            lane.window.push_front(row);
        }
        lane.landed();
        self.remove_if_exhausted(part.lane);
    }

    /// The lane's rows changed on disk: load them again.
    pub(super) fn reload(&mut self, id: LaneId) {
        self.lanes.get_mut(&id).into_iter().for_each(Lane::start_over);
    }

    pub(super) fn move_to_back(&mut self, id: LaneId) {
        if self.lanes.contains_key(&id) {
            self.order.retain(|other| *other != id);
            self.order.push_back(id);
        }
    }

    fn remove_if_exhausted(&mut self, id: LaneId) {
        if self.lanes.get(&id).is_some_and(Lane::is_exhausted) {
            self.remove(id);
        }
    }
}

/// What is left of the limits of a request.
struct Room {
    limits: Limits,
    rows: usize,
    bytes: usize,
}

impl Room {
    const fn of_request(limits: Limits) -> Self {
        // A body is one byte longer than its rows with a comma each: brackets for the last comma.
        Self { limits, rows: 0, bytes: 1 }
    }

    const fn is_full(&self) -> bool {
        self.rows >= self.limits.rows
    }

    /// Takes at most `share` rows from the front of the lane while they fit. The first row of a request always fits.
    fn take_from(&mut self, lane: &mut Lane, share: usize) -> Vec<RowHead> {
        let most = lane.limit().min(share).min(self.limits.rows.saturating_sub(self.rows));
        let mut taken = Vec::new();
        for row in lane.sealed().take(most) {
            let bytes = self.bytes.saturating_add(row.bytes as usize).saturating_add(1);
            if bytes > self.limits.bytes && self.rows > 0 {
                break;
            }
            self.bytes = bytes;
            self.rows += 1;
            taken.push(*row);
        }
        lane.window.drain(..taken.len());
        taken
    }
}
